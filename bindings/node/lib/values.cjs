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

function valueFailed(key, why, cause) {
  const message = `could not acquire the lock "${key}": ${why}`;
  return new ConsulLockError(Status.VALUE_FAILED, message, { cause });
}

/** What the generator of a lock gives. It runs code of the user, who may do anything to the lock. */
function generatedValue(key, make) {
  try {
    return bytesToStore(make(), "the value", Status.VALUE_FAILED);
  } catch (cause) {
    throw valueFailed(key, "the value generator has no value", cause);
  }
}

/** Gives a value to a lock that was not acquired yet. */
function storeValue(lock, key, value) {
  if (c.consul_lock_set_value(lock, value, value.length, slot) !== 0) {
    const error = takeError(slot[0]);
    throw error.status === Status.INVALID_ARGUMENT ? valueFailed(key, error.message, error) : error;
  }
}

module.exports = { currentGenerator, generatedValue, setValueGenerator, storeValue };
