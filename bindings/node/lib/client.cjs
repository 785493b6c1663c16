"use strict";

const { c, must, slot, text } = require("./native.cjs");
const { heedEnvironment } = require("./environment.cjs");
const { askHolder, askHolders } = require("./holder.cjs");
const { observeWith } = require("./observer.cjs");
const { clientPointer, clientPointers, optionNames, withOptions } = require("./options.cjs");

/** The collector frees the reference of a client without a close. Locks keep references of their own. */
const unreachable = new FinalizationRegistry(c.consul_lock_client_free);

class Client {
  constructor(options) {
    const pointer = withOptions(options, (set) => {
      const given = optionNames(options);
      heedEnvironment((option) => given.has(option));
      const made = c.consul_lock_client_new(set, slot);
      must(made !== null);
      return made;
    });
    clientPointers.set(this, pointer);
    unreachable.register(this, pointer, this);
  }

  async holder(key) {
    return askHolder(clientPointer(this), key);
  }

  async holders(key) {
    return askHolders(clientPointer(this), key);
  }

  observe(key, options) {
    return observeWith(clientPointer(this), key, options);
  }

  stats() {
    return statsOf(clientPointer(this));
  }

  close() {
    const pointer = clientPointers.get(this);
    if (pointer !== undefined) {
      clientPointers.delete(this);
      unreachable.unregister(this);
      c.consul_lock_client_free(pointer);
    }
  }

  [Symbol.dispose]() {
    this.close();
  }
}

/** Null: the library cannot make the default client. */
const statsOf = (pointer) => JSON.parse(text(c.consul_lock_client_stats, pointer) || "null");

module.exports = { Client, statsOf };
