/** Lines for the journal of the run. They count against the scope's `log_bytes`; write no secrets. */
import { write } from "remit:host/log@0.1.0";

/** A detail for whoever examines the action. */
export function debug(message: string): void {
  write("debug", message);
}

/** Something the operator may want to know. */
export function info(message: string): void {
  write("info", message);
}

/** Something the operator should look at. */
export function warn(message: string): void {
  write("warn", message);
}

/** Something that went wrong. */
export function error(message: string): void {
  write("error", message);
}
