/**
 * What this connector is for, and what the real system does that its documentation does not say.
 */
import { send } from "remit:connector/http@0.1.0";

export const operations = {
  observe() {
    return other();
  },

  prepare(call) {
    const path = target(call);
    const { enabled, name } = user(path);
    // In a rehearsal, what it did before is not done, and counts as done.
    const before = call.simulated.some((one) => JSON.parse(one.arguments).path === path);
    if (!enabled || before) fail("conflict", `${path} is disabled already`);
    return {
      // What the plan shows, and what is compared when the plan is run: what was approved.
      undo: JSON.stringify({ name }),
      secret: undefined,
      irrevocable: undefined,
      describe: `enable ${path} again`,
      wouldReturn: "null",
    };
  },

  perform(call) {
    set(target(call), false);
    return "null";
  },

  state(call) {
    return { tag: user(target(call)).enabled ? "before" : "after" };
  },

  undo(call) {
    set(target(call), true);
  },
};

/** The path of the account that the call is about. */
function target(call) {
  if (call.function !== "remit:accounts/disable.disable") other();
  return JSON.parse(call.arguments).path;
}

function user(path) {
  return json(ask("GET", ["users", id(path)]), `look at ${path}`);
}

function set(path, enabled) {
  json(ask("PATCH", ["users", id(path)], { enabled }), `change ${path}`);
}

/** The path begins with the name of the connector's entry in remit.toml. */
function id(path) {
  const [, id, ...more] = path.split("/");
  if (!id || more.length > 0) fail("invalid", `\`${path}\` is not the path of an account: write it like NAME/ID`);
  return id;
}

function ask(method, path, body) {
  const headers = body ? [["content-type", "application/json"]] : [];
  const bytes = body && utf8(JSON.stringify(body));
  try {
    return send({ method, path, query: [], headers, body: bytes, credential: undefined });
  } catch (thrown) {
    // The runtime wraps what the host fails with in an Error.
    throw thrown.payload ?? thrown;
  }
}

/** What an answer says, if its status says that what was asked is done. */
function json(answer, doing) {
  const { status, body } = answer;
  const why = `could not ${doing}: the system answered with status ${status}`;
  if (status === 401 || status === 403) fail("denied", why);
  if (status === 404) fail("not-found", why);
  if (status === 409 || status === 412) fail("conflict", why);
  if (status < 200 || status > 299) fail("unavailable", why);
  try {
    return JSON.parse(text(body) || "{}");
  } catch {
    return fail("unavailable", `${why} and something else than JSON`);
  }
}

/** UTF-8, without `TextDecoder` and `TextEncoder`: the engine has none. */
function text(bytes) {
  const escapes = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`);
  return decodeURIComponent(escapes.join(""));
}

function utf8(text) {
  const bytes = encodeURIComponent(text).match(/%..|./g) ?? [];
  return Uint8Array.from(bytes, (byte) => (byte.length > 1 ? parseInt(byte.slice(1), 16) : byte.charCodeAt(0)));
}

function fail(tag, val) {
  throw { tag, val };
}

function other() {
  return fail("invalid", "the function is not one of this connector");
}
