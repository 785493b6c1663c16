"use strict";

const { AsyncResource } = require("node:async_hooks");
const { setMaxListeners } = require("node:events");
const { inspect } = require("node:util");
const { c, must, slot, text } = require("./native.cjs");
const { heedDefaultClient } = require("./environment.cjs");
const { ConsulLockError, Status, lossError, raise } = require("./errors.cjs");
const { bindToThread, listenForLoss, start } = require("./events.cjs");
const { bytesToStore, plainKey, withOptions } = require("./options.cjs");
const { currentGenerator, generatedValue, storeValue } = require("./values.cjs");

class ConsulLock {
  #key;
  /** The native lock. Null: this lock is over, and keeps the last answers of the native lock itself. */
  #pointer;
  #token = 0n;
  #session = "";
  /** The one acquire has begun, or cannot begin any more. */
  #isUsed = false;
  /** The program has released, closed or abandoned the lock since the acquire began. */
  #isGivenUp = false;
  /** Makes the value to store. Null: an option has the value, or the library makes it. */
  #generator;
  /** Aborted when the lock is lost. Null: the program has not asked for a notice. */
  #loss = null;
  #forgetLoss = () => false;
  /** The lock is released, and the notice of its loss is still to come. */
  #isReleased = false;

  constructor(key, options) {
    plainKey(key);
    this.#pointer = withOptions(options, (set) => {
      if (options?.client === undefined) {
        heedDefaultClient();
      }
      const made = c.consul_lock_new(key, set, slot);
      must(made !== null);
      return made;
    });
    this.#key = text(c.consul_lock_key, this.#pointer);
    this.#generator = options?.value === undefined ? currentGenerator() : null;
    forgotten.register(this, { pointer: this.#pointer, key: this.#key }, this);
  }

  async acquire(options) {
    const error = await this.#acquire(signalIn(options));
    if (error !== null) {
      raise(error);
    }
  }

  async tryAcquire(options) {
    const error = await this.#acquire(signalIn(options));
    if (error !== null && error.status !== Status.NOT_ACQUIRED) {
      raise(error);
    }
    return error === null;
  }

  /** The error of the acquire, or null. An aborted signal has precedence over both. */
  async #acquire(signal) {
    signal?.throwIfAborted();
    if (!this.#isUsed && this.#generator !== null) {
      const value = generatedValue(this.#key, this.#generator);
      // The generator may have used or ended this lock, or aborted the signal.
      signal?.throwIfAborted();
      if (!this.#isUsed) {
        storeValue(this.#pointer, this.#key, value);
      }
    }
    if (this.#isUsed) {
      return this.#over(Status.ALREADY_USED, "is single use, and was used before; make a new one");
    }
    bindToThread(this.#pointer);
    this.#isUsed = true;
    this.#isGivenUp = false;
    const cancel = () => this.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    let error;
    try {
      error = await start(c.consul_lock_acquire_start, this.#pointer);
    } catch (refused) {
      this.#isUsed = this.#pointer === null; // nothing has begun
      throw refused;
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
    if (error !== null) {
      this.#end();
    }
    if (error === null && signal?.aborted) {
      // The acquire succeeded before the signal could end it. Without a confirmation of Consul the TTL ends the lock.
      await this.release().catch(() => {});
    }
    if (signal?.aborted && error?.status === Status.CANCELLED) {
      explain(signal.reason, error);
    }
    signal?.throwIfAborted();
    if (error === null && this.#isGivenUp && !this.isHeld) {
      // The acquire succeeded, and the program ended the lock before this thread saw the success. A refused release
      // does not end a lock.
      return this.#over(Status.CANCELLED, "was released, closed or abandoned during the acquire");
    }
    return error;
  }

  async release() {
    if (this.#pointer === null) {
      return false;
    }
    this.#isGivenUp = true;
    const error = await start(c.consul_lock_release_start, this.#pointer);
    if (error === null) {
      this.#end();
      return true;
    }
    switch (error.status) {
      case Status.NOT_HELD:
        return false;
      case Status.LOST:
        if (this.#loss === null) {
          this.#loss = aborted(error);
        }
        if (this.#loss.signal.aborted) {
          this.#end();
        } else {
          this.#isReleased = true;
        }
        break;
      case Status.UNCONFIRMED:
        this.#end();
        break;
    }
    return raise(error);
  }

  renew() {
    return this.#ask(c.consul_lock_renew_start);
  }

  check() {
    return this.#ask(c.consul_lock_check_start);
  }

  async putIfHeld(key, value) {
    const bytes = bytesToStore(value, "value", Status.INVALID_ARGUMENT);
    return this.#ask(c.consul_lock_put_if_held_start, plainKey(key), bytes, bytes.length);
  }

  async deleteIfHeld(key) {
    return this.#ask(c.consul_lock_delete_if_held_start, plainKey(key));
  }

  async #ask(call, ...args) {
    if (this.#pointer === null) {
      throw this.#over(Status.NOT_HELD, "is not held any more");
    }
    const error = await start(call, this.#pointer, ...args);
    if (error !== null) {
      raise(error);
    }
  }

  cancel() {
    c.consul_lock_cancel(this.#pointer);
  }

  abandon() {
    this.#end();
  }

  /** The log has the error of the release, about which a caller of close can do nothing. */
  async close() {
    await this.#dispose().catch(() => {});
  }

  /** Ends the lock at the end of a scope. A loss rejects it, because the work in the scope was not protected. */
  [Symbol.asyncDispose]() {
    return this.#dispose();
  }

  async #dispose() {
    this.cancel(); // also ends an acquire that begins before the end of the release
    try {
      await this.release();
    } finally {
      if (!this.#isReleased) {
        this.#end();
      }
    }
  }

  get key() {
    return this.#key;
  }

  get isHeld() {
    return c.consul_lock_is_held(this.#pointer);
  }

  get remainingMs() {
    return c.consul_lock_remaining_ms(this.#pointer);
  }

  get fencingToken() {
    return this.#pointer === null
      ? this.#token
      : BigInt(c.consul_lock_fencing_token(this.#pointer));
  }

  get sessionId() {
    return this.#pointer === null ? this.#session : text(c.consul_lock_session_id, this.#pointer);
  }

  /** A listener keeps the lock reachable, as a pending read keeps a socket. */
  get signal() {
    if (this.#loss === null) {
      const loss = new AbortController();
      if (this.#pointer !== null) {
        this.#forgetLoss = listenForLoss(this.#pointer, (reason) => {
          loss.abort(lossError(this.#key, reason));
          if (this.#isReleased) {
            this.#end();
          }
        });
      }
      this.#loss = loss;
    }
    return this.#loss.signal;
  }

  onLost(callback) {
    if (typeof callback !== "function") {
      throw new TypeError("onLost takes a function");
    }
    const signal = this.signal;
    const notify = AsyncResource.bind(() => callback(signal.reason));
    if (signal.aborted) {
      queueMicrotask(notify);
    } else {
      signal.addEventListener("abort", notify, { once: true });
    }
  }

  /** Frees the native lock without a release, which never blocks. */
  #end() {
    if (this.#pointer === null) {
      return;
    }
    this.#token = this.fencingToken;
    this.#session = this.sessionId;
    const pointer = this.#pointer;
    this.#pointer = null;
    this.#isUsed = true;
    this.#isGivenUp = true;
    this.#forgetLoss();
    forgotten.unregister(this);
    c.consul_lock_abandon(pointer);
  }

  /** The text for console.log, without the ACL token and the stored value. */
  [inspect.custom](depth, options, inspectWith = inspect) {
    const shown = { key: this.#key, state: this.#state(), fencingToken: this.fencingToken };
    return depth < 0 ? "[ConsulLock]" : `ConsulLock ${inspectWith(shown, options)}`;
  }

  #state() {
    if (this.isHeld) {
      return "held";
    }
    if (this.#loss?.signal.aborted || (this.#pointer !== null && this.fencingToken !== 0n)) {
      return "lost";
    }
    if (this.#pointer === null) {
      return "over";
    }
    return this.#isUsed ? "acquiring" : "new";
  }

  #over(status, why) {
    return new ConsulLockError(status, `the lock "${this.#key}" ${why}`);
  }
}

/**
 * The collector leaves a held lock to its TTL and never releases it, because the work under the lock may go on. The
 * first such lock causes a warning.
 */
const forgotten = new FinalizationRegistry(({ pointer, key }) => {
  if (c.consul_lock_is_held(pointer) && !hasWarned) {
    hasWarned = true;
    const message =
      `the lock "${key}" was garbage-collected while it was held, and stays in Consul until its TTL ` +
      "ends: release locks, or keep them reachable (this warning comes once)";
    process.emitWarning(message, { type: "ConsulLockWarning", code: "CONSUL_LOCK_FORGOTTEN" });
  }
  c.consul_lock_abandon(pointer);
});
let hasWarned = false;

/** Makes the library's error, which names the holder, the cause of an aborted signal's reason. */
function explain(reason, error) {
  if (reason instanceof Error && !("cause" in reason) && Object.isExtensible(reason)) {
    const cause = { value: error, configurable: true, enumerable: false, writable: true };
    Object.defineProperty(reason, "cause", cause);
  }
}

/** The signal in the options of an acquire. Other options are refused, as an acquire would ignore them. */
function signalIn(options) {
  const { signal, ...others } = options ?? {};
  if (isSignal(options) || Object.keys(others).length > 0) {
    throw new TypeError("an acquire takes { signal }; all other options are those of the lock");
  }
  if (signal !== undefined && !isSignal(signal)) {
    throw new TypeError("signal must be an AbortSignal");
  }
  if (signal instanceof EventTarget) {
    setMaxListeners(0, signal); // many acquires may wait under one signal, without a warning of a leak
  }
  return signal;
}

/** Accepts a signal of another realm, such as a test environment's. */
const isSignal = (it) => typeof it?.throwIfAborted === "function";

function aborted(reason) {
  const controller = new AbortController();
  controller.abort(reason);
  return controller;
}

module.exports = { ConsulLock };
