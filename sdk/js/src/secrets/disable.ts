import * as host from "remit:secrets/disable@0.1.0";
import { ask } from "../refusal.js";

/** Makes a version unreadable, until it is enabled again by undo. Effect: change. */
export function disable(path: string, version: number): void {
  ask(`disable version ${version} of ${path}`, () => host.disable(path, version));
}
