"use strict";

/*
 * The value generator makes the value that a lock stores under its key. Each thread has one. It runs inside the
 * acquire, on this thread, before the library sends anything.
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

/** The generator of the locks that are made now. Null: the library makes the value. */
const currentGenerator = () => generator;

function valueFailed(key, why, cause) {
  const message = `could not acquire the lock "${key}": ${why}`;
  return new ConsulLockError(Status.VALUE_FAILED, message, { cause });
}

/** Calls the generator of a lock. The generator is code of the user, and may do anything to the lock. */
function generatedValue(key, make) {
  try {
    return bytesToStore(make(), "the value", Status.VALUE_FAILED);
  } catch (cause) {
    throw valueFailed(key, "the value generator gave no value", cause);
  }
}

/** Sets the value of a lock before its acquire. */
function storeValue(lock, key, value) {
  if (c.consul_lock_set_value(lock, value, value.length, slot) !== 0) {
    const error = takeError(slot[0]);
    throw error.status === Status.INVALID_ARGUMENT ? valueFailed(key, error.message, error) : error;
  }
}

module.exports = { currentGenerator, generatedValue, setValueGenerator, storeValue };
