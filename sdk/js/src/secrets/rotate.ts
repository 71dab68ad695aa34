import * as host from "remit:secrets/rotate@0.1.0";
import { ask } from "../refusal.js";

export type { Rotated } from "remit:secrets/rotate@0.1.0";

/**
 * Writes a new version of the secret at `path`, in which `field` holds a fresh value that the host makes and
 * the action never sees. Without `field` the secret must have exactly one. Effect: change.
 */
export function rotate(path: string, field?: string | null): host.Rotated {
  return ask(`rotate ${path}`, () => host.rotate(path, field ?? null));
}
