import * as host from "remit:host/run@0.1.0";

/** What an action may know about its own run: `id`, `started` (milliseconds since the epoch), `reason`. */
export type Facts = host.RunFacts;

/** The facts of this run; the same at every call. */
export function facts(): Facts {
  return host.facts();
}
