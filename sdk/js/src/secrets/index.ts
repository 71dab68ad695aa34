/**
 * Secrets: what `remit:secrets` offers, one function per interface and one module per function, so that an
 * action imports only what it uses. A path has the form `app/db/password`.
 */
export type { SecretMetadata, Version, VersionState } from "./inspect.js";
export { inspect } from "./inspect.js";
export type { Rotated } from "./rotate.js";
export { rotate } from "./rotate.js";
export { disable } from "./disable.js";
export { destroy } from "./destroy.js";
export { reveal } from "./reveal.js";
