/** Rotates one secret: the host writes a new version with a value that nobody else has seen. */
import { action, log } from "@remit/sdk";
import { inspect, rotate } from "@remit/sdk/secrets";

export const remediation = action({
  /**
   * @param {{ path: string, field?: string | null }} input The secret's path, such as `app/db/password`, and
   *   which of its fields gets a new value; needed when it has more than one.
   */
  run({ path, field }) {
    const before = inspect(path);
    log.info(`${path} is at version ${before.current}`);

    const { previous, current } = rotate(path, field);
    log.info(`${path} is now at version ${current}`);
    return { path, previous, current };
  },

  verify(_, { path, current }) {
    const now = inspect(path);
    if (now.current !== current) {
      throw new Error(`${path} is at version ${now.current}, not at ${current}`);
    }
    const version = now.versions.find(({ number }) => number === current);
    if (!version) {
      throw new Error(`the backend does not list version ${current} of ${path}`);
    }
    if (version.state !== "enabled") {
      throw new Error(`version ${current} of ${path} cannot be read`);
    }
  },
});
