"use strict";

const { AsyncResource } = require("node:async_hooks");
const { inspect } = require("node:util");
const { c, must, slot, text } = require("./native.cjs");
const { heedDefaultClient } = require("./environment.cjs");
const { ConsulLockError, Status, lossError, raise } = require("./errors.cjs");
const { bindToThread, listenForLoss, start } = require("./events.cjs");
const { bytesToStore, lockOptions, plainKey, withOptions } = require("./options.cjs");
const { explain, heedSignal, isSignal, signalIn } = require("./signals.cjs");
const { currentGenerator, generatedValue, storeValue } = require("./values.cjs");

class ConsulLock {
  #key;
  #keys;
  /** The native lock. Null: this lock is over, and keeps the last answers of the native lock itself. */
  #pointer;
  #token = 0n;
  #session = "";
  #slot = null;
  /** The one acquire has begun, or cannot begin any more. */
  #isUsed = false;
  /** The program has released, closed or abandoned the lock since the acquire began. */
  #isGivenUp = false;
  #isUpgrading = false;
  /** Makes the value to store. Null: an option has the value, or the library makes it. */
  #generator;
  /** Aborted when the lock is lost. Null: the program has not asked for a notice. */
  #loss = null;
  #forgetLoss = () => false;
  /** The lock is released, and the notice of its loss is still to come. */
  #isReleased = false;

  constructor(key, options) {
    const keys = Array.isArray(key) ? Array.from(key, plainKey) : null;
    if (keys === null) {
      plainKey(key);
    }
    this.#pointer = withOptions(lockOptions(options), (set) => {
      if (options?.client === undefined) {
        heedDefaultClient();
      }
      const made =
        keys === null
          ? c.consul_lock_new(key, set, slot)
          : c.consul_lock_new_all(keys, keys.length, set, slot);
      must(made !== null);
      return made;
    });
    this.#keys = Object.freeze(fullKeys(this.#pointer));
    this.#key = this.#keys[0];
    this.#generator = options?.value === undefined ? currentGenerator() : null;
    forgotten.register(this, { pointer: this.#pointer, key: this.#key }, this);
  }

  async acquire(options) {
    const error = await this.#acquire(signalIn(options, OF_ACQUIRES));
    if (error !== null) {
      raise(error);
    }
  }

  async tryAcquire(options) {
    const error = await this.#acquire(signalIn(options, OF_ACQUIRES));
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

  downgrade() {
    return this.#ask(c.consul_lock_downgrade_start);
  }

  async upgrade(options) {
    const { timeoutMs, signal } = waitIn(options);
    signal?.throwIfAborted();
    if (this.#isUpgrading) {
      return this.#ask(c.consul_lock_upgrade_start, timeoutMs); // refused; the signal of the first call ends that one
    }
    const cancel = () => {
      if (this.isHeld) {
        this.cancel(); // of a lock that is not held it would cancel an acquire
      }
    };
    this.#isUpgrading = true;
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      await this.#ask(c.consul_lock_upgrade_start, timeoutMs);
    } catch (error) {
      if (signal?.aborted && error.status === Status.CANCELLED) {
        explain(signal.reason, error);
        throw signal.reason;
      }
      throw error;
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#isUpgrading = false;
    }
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

  get keys() {
    return this.#keys;
  }

  get slot() {
    return this.#pointer === null ? this.#slot : slotOf(this.#pointer);
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
    this.#slot = this.slot;
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
    const { key, keys, fencingToken, slot } = this;
    const shown = {
      ...(keys.length > 1 ? { keys } : { key }),
      state: this.#state(),
      fencingToken,
      ...(slot === null ? {} : { slot }),
    };
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

/** The full keys of a native lock. */
function fullKeys(pointer) {
  const count = Number(c.consul_lock_keys_count(pointer));
  return Array.from({ length: count }, (_, at) =>
    text((lock, room, length) => c.consul_lock_key_at(lock, at, room, length), pointer),
  );
}

/** The slot of a native lock, or null. */
function slotOf(pointer) {
  const slot = c.consul_lock_slot(pointer);
  return slot < 0 ? null : slot;
}

const OF_ACQUIRES = "an acquire takes { signal }; all other options are those of the lock";

/** The options of an upgrade, with the library's number for an unlimited wait. */
function waitIn(options) {
  const { timeoutMs, signal, ...others } = options ?? {};
  if (isSignal(options) || Object.keys(others).length > 0) {
    throw new TypeError("an upgrade takes { timeoutMs, signal }, and no other option");
  }
  const wait = timeoutMs ?? (signal === undefined ? 0 : Infinity);
  if (wait !== Infinity && !Number.isSafeInteger(wait)) {
    const message = "timeoutMs must be a whole number from 0 to 86400000, or Infinity";
    throw new ConsulLockError(Status.INVALID_ARGUMENT, message);
  }
  return { timeoutMs: wait === Infinity ? -1 : wait, signal: heedSignal(signal) };
}

function aborted(reason) {
  const controller = new AbortController();
  controller.abort(reason);
  return controller;
}

module.exports = { ConsulLock };
