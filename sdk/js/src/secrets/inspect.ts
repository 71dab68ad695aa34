import { metadata } from "remit:secrets/inspect@0.1.0";
import type { Metadata } from "remit:secrets/types@0.1.0";
import { ask } from "../refusal.js";

export type { Metadata as SecretMetadata, Version, VersionState } from "remit:secrets/types@0.1.0";

/** The versions of the secret at `path`, without their values. Effect: observe. */
export function inspect(path: string): Metadata {
  return ask(`inspect ${path}`, () => metadata(path));
}
