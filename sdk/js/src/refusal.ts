import type { Failure } from "remit:types/errors@0.1.0";

/** Why the host did not do what was asked. Nothing was changed, unless it is `unavailable`. */
export type RefusalCode = Failure["tag"];

/** Thrown when the host does not do what was asked. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  /**
   * @param doing what was asked, such as "rotate app/db"
   * @param code why not
   * @param detail the host's words
   */
  constructor(
    readonly doing: string,
    readonly code: RefusalCode,
    readonly detail: string,
  ) {
    super(`could not ${doing}: ${code.replaceAll("-", " ")}: ${detail}`);
  }
}

/** Calls the host; a failure is thrown as a {@link Refusal}. */
export function ask<T>(doing: string, call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    // The runtime wraps what a function of the host fails with in an Error.
    const failure = (thrown as { payload?: Partial<Failure> } | null)?.payload;
    if (typeof failure?.tag !== "string" || typeof failure.val !== "string") throw thrown;
    throw new Refusal(doing, failure.tag, failure.val);
  }
}
