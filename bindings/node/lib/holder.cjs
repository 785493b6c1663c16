"use strict";

const { bytes, c, text } = require("./native.cjs");
const { startHolder } = require("./events.cjs");
const { raise } = require("./errors.cjs");
const { plainKey } = require("./options.cjs");

/** Copies a holder of the library, and frees it. */
function read(pointer) {
  const sinceMs = Number(c.consul_lock_holder_since_ms(pointer));
  const holder = {
    session: text(c.consul_lock_holder_session, pointer),
    name: text(c.consul_lock_holder_name, pointer),
    node: text(c.consul_lock_holder_node, pointer),
    value: Buffer.from(bytes(c.consul_lock_holder_value, pointer)),
    fencingToken: BigInt(c.consul_lock_holder_fencing_token(pointer)),
    since: sinceMs === 0 ? null : new Date(sinceMs),
    ttlMs: Number(c.consul_lock_holder_ttl_ms(pointer)),
  };
  c.consul_lock_holder_free(pointer);
  return holder;
}

/** Asks Consul with a client, or with the default client if it is null. The answer is null where the lock is free. */
async function askHolder(client, key) {
  const { error, holder } = await startHolder(client, plainKey(key), read);
  return error ? raise(error) : holder;
}

module.exports = { askHolder };
