"use strict";

/*
 * The value generator: what makes the value that a lock stores under its key. It is JavaScript's own,
 * one for each thread, and it runs inside the acquire, on this thread, before anything is sent.
 */

const { c, slot, takeError } = require("./native.cjs");
const { ConsulLockError, Status } = require("./errors.cjs");
const { bytesToStore } = require("./options.cjs");

let generator = null;

function setValueGenerator(callback) {
  if (callback !== null && typeof callback !== "function") {
    throw new TypeError("setValueGenerator takes a function, or null");
  }
  generator = callback;
}

/** The generator that a lock which is made now will use; null: the library's own value. */
const currentGenerator = () => generator;

/** Stores what `make` gives as the value of a lock that was not acquired yet. */
function storeValue(lock, key, make) {
  const failed = (why, cause) =>
    new ConsulLockError(Status.VALUE_FAILED, `could not acquire the lock "${key}": ${why}`, {
      cause,
    });
  let value;
  try {
    value = bytesToStore(make(), "the value", Status.VALUE_FAILED);
  } catch (cause) {
    throw failed("the value generator has no value", cause);
  }
  if (c.consul_lock_set_value(lock, value, value.length, slot) !== 0) {
    const error = takeError(slot[0]);
    throw error.status === Status.INVALID_ARGUMENT ? failed(error.message, error) : error;
  }
}

module.exports = { currentGenerator, setValueGenerator, storeValue };
