/** Gives a database role a password that nobody has seen, puts it where those who use it find it, and ends the old sessions. */
import { action, log } from "@remit/sdk";
import { checkLogin, endSessions, password } from "@remit/sdk/databases";
import { render } from "@remit/sdk/files";
import { generate, inspect, put } from "@remit/sdk/secrets";

/** A secret that the password is read from. */
interface Place {
  path: string;
  field: string;
}

/** A file that the password is read from. */
interface FilePlace {
  path: string;
  /** Its whole content, with `{{password}}` where the password is to stand. */
  template: string;
}

interface Input {
  /** The role, such as `main/app`. */
  role: string;
  /** The database that those who use the role sign in to. */
  database: string;
  /** Where they find the password. */
  places: Place[];
  files?: FilePlace[];
  /** Whether the old sessions go on. */
  keep_sessions?: boolean;
}

interface Output {
  /** The handle of the new password. */
  password: string;
  /** Which version of each place has it. */
  versions: { path: string; version: number }[];
  /** How many sessions were ended; null if none was to be. */
  ended: number | null;
}

export const remediation = action<Input, Output>({
  run({ role, database, places, files = [], keep_sessions }) {
    const fresh = generate(32, "alphanumeric");
    password(role, fresh);
    // From here until the last place has it, who signs in anew is locked out: nothing else is done in between.
    const versions = places.map(({ path, field }) => ({ path, version: Number(put(path, field, fresh).current) }));
    for (const { path, template } of files) {
      render(path, template, [{ name: "password", secret: fresh }]);
    }
    log.info(`${role} has a new password, and so have ${places.length + files.length} places`);

    // What cannot be taken back comes last, when it is known that all who are thrown out can come back.
    signIn(role, database, fresh);
    const ended = keep_sessions ? null : endSessions(role);
    return { password: fresh, versions, ended };
  },

  verify({ role, database }, { password, versions }) {
    for (const { path, version } of versions) {
      const { current } = inspect(path);
      if (Number(current) !== version) {
        throw new Error(`${path} is at version ${current}, not at ${version}`);
      }
    }
    signIn(role, database, password);
  },
});

function signIn(role: string, database: string, password: string) {
  if (!checkLogin(role, database, password)) {
    throw new Error(`${role} cannot sign in to ${database} with the new password`);
  }
}
