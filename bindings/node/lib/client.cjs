"use strict";

const { c, must, slot, text } = require("./native.cjs");
const { askHolder } = require("./holder.cjs");
const { clientPointer, clientPointers, withOptions } = require("./options.cjs");

/** A client that is not closed gives up only its own reference: locks that use it keep theirs. */
const unreachable = new FinalizationRegistry(c.consul_lock_client_free);

class Client {
  constructor(options) {
    const pointer = withOptions(options, (set) => {
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

const statsOf = (pointer) => JSON.parse(text(c.consul_lock_client_stats, pointer));

module.exports = { Client, statsOf };
