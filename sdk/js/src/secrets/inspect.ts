import { metadata, type SecretMetadata } from "remit:secrets/inspect@0.1.0";
import { ask } from "../refusal.js";

export type { SecretMetadata, Version, VersionState } from "remit:secrets/inspect@0.1.0";

/** The versions of the secret at `path`, without their values. Effect: observe. */
export function inspect(path: string): SecretMetadata {
  return ask(`inspect ${path}`, () => metadata(path));
}
