"use strict";

/* Questions about a key: its holder, and all sessions that hold the key or wait for it. */

const { bytes, c, text } = require("./native.cjs");
const { startHolder, startHolders } = require("./events.cjs");
const { raise } = require("./errors.cjs");
const { plainKey } = require("./options.cjs");

/** What an observer also knows of a holder. */
function essence(pointer) {
  const sinceMs = Number(c.consul_lock_holder_since_ms(pointer));
  return {
    session: text(c.consul_lock_holder_session, pointer),
    value: Buffer.from(bytes(c.consul_lock_holder_value, pointer)),
    fencingToken: BigInt(c.consul_lock_holder_fencing_token(pointer)),
    since: sinceMs === 0 ? null : new Date(sinceMs),
  };
}

/** Copies a holder of the library, and frees it. */
function read(pointer) {
  const holder = {
    ...essence(pointer),
    name: text(c.consul_lock_holder_name, pointer),
    node: text(c.consul_lock_holder_node, pointer),
    ttlMs: Number(c.consul_lock_holder_ttl_ms(pointer)),
  };
  c.consul_lock_holder_free(pointer);
  return holder;
}

/** Copies the holder in the news of an observer, and frees it. */
function readObserved(pointer) {
  const holder = essence(pointer);
  c.consul_lock_holder_free(pointer);
  return holder;
}

/** Copies the holders of the library, and frees them. */
function readHolders(pointer) {
  const json = text(c.consul_lock_holders_json, pointer);
  c.consul_lock_holders_free(pointer);
  return holdersIn(json);
}

/**
 * The holders in the library's JSON. A number of JSON would round a large token, so the tokens become texts first. In a
 * text of JSON a quote has a backslash, so the expression finds only the fields.
 */
function holdersIn(json) {
  const found = JSON.parse(json.replace(/"fencing_token":(\d+)/g, '"fencing_token":"$1"'));
  const sharer = (it) => ({ ...holderOf(it), limit: it.limit, slot: it.slot });
  const waiter = (it) => {
    const { mode, limit = null, keys } = it;
    return { ...sessionOf(it), mode, limit, keys };
  };
  return {
    key: found.key,
    exclusive: found.exclusive === null ? null : holderOf(found.exclusive),
    sharers: found.sharers.map(sharer),
    line: found.line.map(waiter),
  };
}

/** The session of an entry. What the library does not know is null in JSON, and empty or 0 in a holder. */
const sessionOf = ({ session, name, node, ttl_ms: ttlMs }) => ({
  session,
  name: name ?? "",
  node: node ?? "",
  ttlMs: ttlMs ?? 0,
});

const holderOf = (it) => ({
  ...sessionOf(it),
  value: Buffer.from(it.value_base64, "base64"),
  fencingToken: BigInt(it.fencing_token),
  since: it.since_ms === null ? null : new Date(it.since_ms),
});

/** Asks Consul with a client, or with the default client if it is null. The answer is null where the lock is free. */
async function askHolder(client, key) {
  const { error, answer } = await startHolder(client, plainKey(key), read);
  return error ? raise(error) : answer;
}

/** Asks Consul for all sessions that hold a key or wait for it. */
async function askHolders(client, key) {
  const { error, answer } = await startHolders(client, plainKey(key), readHolders);
  return error ? raise(error) : answer;
}

module.exports = { askHolder, askHolders, holdersIn, readObserved };
