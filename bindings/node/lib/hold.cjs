"use strict";

const { ConsulLock } = require("./lock.cjs");
const { plainOptions } = require("./options.cjs");

async function hold(key, options, block) {
  if (typeof options === "function" && block === undefined) {
    return hold(key, undefined, options);
  }
  if (typeof block !== "function") {
    throw new TypeError("hold takes a function, as its last argument");
  }
  const { signal: outer, ...ofLock } = options ?? {};
  if (outer === undefined) {
    plainOptions(options); // refuses an AbortSignal, among others
  }
  const lock = new ConsulLock(key, ofLock);
  const sources = outer === undefined ? [] : [outer];
  try {
    sources.push(lock.signal);
    await lock.acquire({ signal: outer });
  } catch (error) {
    lock.abandon(); // frees the lock, also where the acquire never began
    throw error;
  }
  const until = new Until(sources);
  let result;
  try {
    const { fencingToken, slot } = lock;
    result = await block({ signal: until.signal, fencingToken, slot, lock });
  } catch (error) {
    // The block's own error has precedence. The log has the error of the release.
    await lock.release().catch(() => {});
    throw error;
  } finally {
    until.forget();
  }
  await lock.release();
  return result;
}

/** A signal that the first of several signals aborts, until `forget`. */
class Until {
  #controller = new AbortController();
  #sources;

  constructor(sources) {
    this.#sources = sources;
    for (const source of sources) {
      source.addEventListener("abort", this);
      if (source.aborted) {
        this.#controller.abort(source.reason);
      }
    }
  }

  get signal() {
    return this.#controller.signal;
  }

  handleEvent({ target }) {
    this.#controller.abort(target.reason);
  }

  forget() {
    for (const source of this.#sources) {
      source.removeEventListener("abort", this);
    }
  }
}

module.exports = { hold };
