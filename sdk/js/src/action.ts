import { error as logError } from "./log.js";

/** What an author writes. `Input` and `Output` are JSON. */
export interface Action<Input, Output> {
  /** Performs the repair. */
  run(input: Input): Output;
  /** Checks, given what `run` got and answered, that the repair holds; throws if it does not. */
  verify(input: Input, output: Output): void;
}

/** What the host calls: the export `remediation`. */
export interface Remediation {
  run(input: string): string;
  verify(input: string, output: string): void;
}

/** Makes two functions the action of this module: export what it returns as `remediation`. */
export function action<Input, Output>(functions: Action<Input, Output>): Remediation {
  return {
    run: (input) => told(() => JSON.stringify(functions.run(JSON.parse(input)))),
    verify: (input, output) => told(() => functions.verify(JSON.parse(input), JSON.parse(output))),
  };
}

/** Calls `work`; what it throws is thrown as the text that the contract wants. */
function told<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw message(thrown);
  }
}

function message(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  // A plain Error and its kin from here are the action's own words. Others, a TypeError say, are defects: their
  // kind and place matter.
  if (thrown.name === "Error" || thrown.name === "Refusal") return thrown.message;
  if (thrown.stack) logError(`${thrown}\n${thrown.stack.trimEnd()}`);
  return String(thrown);
}
