import * as host from "remit:secrets/destroy@0.1.0";
import { ask } from "../refusal.js";

/** Destroys the value of a version for good. Effect: irrevocable. */
export function destroy(path: string, version: number): void {
  ask(`destroy version ${version} of ${path}`, () => host.destroy(path, version));
}
