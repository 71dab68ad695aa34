/**
 * Write Remit actions in JavaScript or TypeScript.
 *
 * An action is two functions: `run` performs the repair, `verify` looks, without changing anything, whether it
 * holds. Both throw an `Error` to fail; its message goes to the operator and into the journal.
 *
 * ```ts
 * import { action } from "@remit/sdk";
 * import { inspect, rotate } from "@remit/sdk/secrets";
 *
 * export const remediation = action<{ path: string }, { current: number }>({
 *   run({ path }) {
 *     return { current: rotate(path).current };
 *   },
 *   verify({ path }, { current }) {
 *     if (inspect(path).current !== current) throw new Error("it was changed since");
 *   },
 * });
 * ```
 *
 * An action reaches only what it calls in here, and only where its grant says so. The host runs `run` twice,
 * first to rehearse; the action cannot tell which, so keep it a function of its input and of what the host
 * answers. `Math.random` repeats itself in each run: it was seeded when the action was built.
 *
 * @module
 */
export { action, type Action, type Remediation } from "./action.js";
export { Refusal, type RefusalCode } from "./refusal.js";
export { facts, type Facts } from "./run.js";
export * as log from "./log.js";
