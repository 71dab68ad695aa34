import * as host from "remit:secrets/reveal@0.1.0";
import { ask } from "../refusal.js";

/**
 * The value of `field` in a version: the one function that hands secret material to the action.
 * Effect: disclose.
 */
export function reveal(path: string, field: string, version: number): string {
  return ask(`reveal ${field} of version ${version} of ${path}`, () => host.reveal(path, field, version));
}
