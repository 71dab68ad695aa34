/**
 * Makes the version of a key that leaked unreadable. It does nothing else: whoever is told, and what comes then, is for other
 * actions, so that this one is not held up by any of them and can be taken back whatever became of them.
 */
import { action, log } from "@remit/sdk";
import { disable, inspect } from "@remit/sdk/secrets";

export const remediation = action({
  /**
   * @param {{ path: string, version: number }} input The secret's path, such as `prod/payments/stripe`, and which version leaked.
   */
  run({ path, version }) {
    disable(path, version);
    log.info(`version ${version} of ${path} cannot be read any more`);
    return { path, version };
  },

  verify(_, { path, version }) {
    const state = inspect(path).versions.find(({ number }) => number === version)?.state;
    if (state !== "disabled") {
      throw new Error(`version ${version} of ${path} is ${state ?? "not listed"}, not disabled`);
    }
  },
});
