/**
 * Tokens of an npm registry.
 *
 * What real registries do, and their documentation does not say or not there:
 * - Verdaccio answers `whoami` with 200 and an empty object for a token that it does not know.
 * - Verdaccio 6 answers 200 to a revocation, of any key, and takes the token out of the list. The token is a signed one that no list
 *   is asked for, and works until it expires. Only `check` shows it.
 * - A list shows the begin and the end of each value. So who asks with a token that leaked learns whose it is, and which one only
 *   if there is one.
 */
import { send } from "remit:connector/http@0.1.0";

const TOKENS = ["-", "npm", "v1", "tokens"];

export const operations = {
  observe(call) {
    const { place, path, token } = JSON.parse(call.arguments);
    switch (call.function) {
      case "remit:tokens/inspect.get":
        return JSON.stringify(find(call, path));
      case "remit:tokens/inspect.list":
        return JSON.stringify(list(call, place));
      case "remit:tokens/identify.identify": {
        const tokens = list(call, place, token);
        if (tokens.length === 0) fail("not-found", `the value is no token of ${place}, or no more`);
        if (tokens.length > 1) {
          const of = `${tokens[0].owner} has ${tokens.length} tokens, and the registry does not tell which one it is`;
          fail("conflict", `${of}: ${tokens.map((one) => one.path).join(", ")}`);
        }
        return JSON.stringify(tokens[0]);
      }
      case "remit:tokens/check.works": {
        const answer = ask("GET", ["-", "whoami"], token);
        if (answer.status === 401 || answer.status === 403) return "false";
        // A rehearsal that revoked something cannot tell whether it was this one.
        return JSON.stringify(Boolean(json(answer, "ask whose the token is").username) && call.simulated.length === 0);
      }
    }
    return other();
  },

  prepare(call) {
    const { owner, created } = find(call, target(call));
    return {
      undo: JSON.stringify({ owner, created }),
      secret: undefined,
      irrevocable: undefined,
      describe: "",
      wouldReturn: "null",
    };
  },

  perform(call) {
    const path = target(call);
    json(ask("DELETE", [...TOKENS, "token", key(path)]), `revoke ${path}`);
    return "null";
  },

  state(call) {
    const path = target(call);
    const listed = list({ ...call, simulated: [] }, path.split("/")[0]).some((one) => one.path === path);
    return { tag: listed ? "before" : "after" };
  },

  undo() {
    other();
  },
};

/** The path of what is to be revoked. */
function target(call) {
  if (call.function !== "remit:tokens/revoke.revoke") other();
  return JSON.parse(call.arguments).path;
}

function key(path) {
  const [, key, ...more] = path.split("/");
  if (!key || more.length > 0) fail("invalid", `\`${path}\` is not the path of a token: write it like npm/KEY`);
  return key;
}

function find(call, path) {
  key(path);
  const found = list(call, path.split("/")[0]).find((one) => one.path === path);
  return found ?? fail("not-found", `there is no token ${path}`);
}

/** The tokens of the user who asks: of the entry, or of a token that leaked. */
function list(call, place, credential) {
  const answer = ask("GET", TOKENS, credential);
  if (credential && answer.status === 401) return [];
  const { objects, urls } = json(answer, "list tokens");
  if (urls?.next) fail("unavailable", "the registry has more tokens than one page of its list");
  const revoked = new Set(call.simulated.map((one) => JSON.parse(one.arguments).path));
  return objects
    .map((one) => ({
      path: `${place}/${one.key}`,
      owner: one.user ?? "",
      label: one.name ?? "",
      scopes: [one.readonly ? "read" : "read and write", ...(one.cidr ?? one.cidr_whitelist ?? [])],
      state: "enabled",
      created: milliseconds(one.created),
      "last-used": milliseconds(one.last_used),
      expires: milliseconds(one.expires),
    }))
    .filter((one) => !revoked.has(one.path))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Integers of 64 bits are texts. */
function milliseconds(text) {
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : String(time);
}

function ask(method, path, credential) {
  try {
    return send({ method, path, query: [], headers: [], body: undefined, credential });
  } catch (thrown) {
    // The runtime wraps what the host fails with in an Error.
    throw thrown.payload ?? thrown;
  }
}

function json(answer, doing) {
  const { status, body } = answer;
  const why = `could not ${doing}: the registry answered with status ${status}`;
  if (status === 401 || status === 403) fail("denied", why);
  if (status === 404) fail("not-found", why);
  if (status < 200 || status > 299) fail("unavailable", why);
  try {
    return JSON.parse(text(body) || "{}");
  } catch {
    return fail("unavailable", `${why} and something else than JSON`);
  }
}

/** UTF-8, without `TextDecoder`: the engine has none. */
function text(bytes) {
  const escapes = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`);
  return decodeURIComponent(escapes.join(""));
}

function fail(tag, val) {
  throw { tag, val };
}

function other() {
  return fail("invalid", "the function is not one of this connector");
}
