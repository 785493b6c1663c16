"use strict";

/*
 * Options of locks and clients. A program may write an option of docs/OPTIONS.md by its own name or in camel case:
 * `lock_timeout_seconds` or `lockTimeoutSeconds`. The library refuses unknown and wrong options, so that an option
 * of a later version works without a change here.
 */

const { isUint8Array } = require("node:util").types;
const { c, must, slot } = require("./native.cjs");
const { ConsulLockError, Status } = require("./errors.cjs");

/** The native client of each open Client. */
const clientPointers = new WeakMap();

function clientPointer(client) {
  const pointer = clientPointers.get(client);
  if (pointer === undefined) {
    throw new ConsulLockError(Status.INVALID_ARGUMENT, "client is not a Client, or is closed");
  }
  return pointer;
}

const snakeCase = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Checks that C can take a text: it has no NUL, and all its surrogates are in pairs. */
function plainText(text, what, status) {
  if (typeof text !== "string") {
    throw new ConsulLockError(status, `${what} must be text, not ${kindOf(text)}`);
  }
  if (text.includes("\0")) {
    throw new ConsulLockError(status, `${what} contains a NUL`);
  }
  if (!text.isWellFormed()) {
    throw new ConsulLockError(status, `${what} is not well-formed Unicode`);
  }
  return text;
}

const plainKey = (key) => plainText(key, "key", Status.INVALID_ARGUMENT);

/** The options that this package adds, each with the option of the library that it sets. */
const ALIASES = { share: "mode" };

/**
 * The options of a lock. `limit` alone is one of a lock that shares its key, as a program rarely wants the other
 * meaning: the limit after a downgrade.
 */
function lockOptions(given) {
  const options = plainOptions(given);
  const { share, mode, limit } = options ?? {};
  if (share !== undefined && mode !== undefined) {
    const message = "options share and mode say the same: give one of them";
    throw new ConsulLockError(Status.INVALID_OPTION, message);
  }
  const isImplied = limit !== undefined && share === undefined && mode === undefined;
  return isImplied ? { ...options, share: true } : options;
}

/** The text of an option for the library, which checks numbers and ranges itself. */
function optionText(name, value) {
  if (value === Infinity && name === "acquire_timeout_ms") {
    return "-1";
  }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    const message = `option "${name}" is too large for an exact number: use a BigInt`;
    throw new ConsulLockError(Status.INVALID_OPTION, message);
  }
  if (["boolean", "number", "bigint"].includes(typeof value)) {
    return String(value);
  }
  if (Array.isArray(value)) {
    const item = `an item of option "${name}"`;
    return value.map((it) => plainText(it, item, Status.INVALID_OPTION)).join(",");
  }
  if (typeof value !== "string") {
    const message = `option "${name}" must be a number, a boolean or text, not ${kindOf(value)}`;
    throw new ConsulLockError(Status.INVALID_OPTION, message);
  }
  return plainText(value, `option "${name}"`, Status.INVALID_OPTION);
}

/** The bytes of a value. A text becomes UTF-8. */
function bytesToStore(value, what, status) {
  if (typeof value === "string") {
    return Buffer.from(value);
  }
  if (isUint8Array(value)) {
    return value;
  }
  throw new ConsulLockError(status, `${what} must be text or a Uint8Array, not ${kindOf(value)}`);
}

const kindOf = (value) => (value === null ? "null" : typeof value);

/**
 * The options of a call, or null. Refuses a Map, a Client or a signal, whose contents are not in own properties and
 * would be ignored.
 */
function plainOptions(options) {
  if (options === undefined || options === null) {
    return null;
  }
  if (typeof options !== "object" || !isPlain(options)) {
    throw new TypeError("options must be a plain object");
  }
  return options;
}

/** Accepts an object of another realm, such as a test environment's. */
function isPlain(object) {
  const prototype = Object.getPrototypeOf(object);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The options that the caller has set, by the library's own names. */
function optionNames(options) {
  const given = Object.entries(options ?? {}).filter(([, value]) => value !== undefined);
  return new Set(given.map(([name]) => snakeCase(name)));
}

/** Calls `make` with the options as an object of the library, and frees that object. */
function withOptions(given, make) {
  const options = plainOptions(given);
  if (options === null) {
    return make(null);
  }
  const set = c.consul_lock_options_new();
  try {
    for (const [name, value] of Object.entries(options)) {
      if (value !== undefined) {
        setOption(set, snakeCase(name), value);
      }
    }
    return make(set);
  } catch (error) {
    throw asWritten(error, Object.keys(options));
  } finally {
    c.consul_lock_options_free(set);
  }
}

/** Puts the option's name as the caller wrote it into a refusal. */
function asWritten(error, names) {
  if (!(error instanceof ConsulLockError)) {
    return error;
  }
  const option = /^option "?([a-z_]+)/.exec(error.message)?.[1];
  const written = names.find((name) => (ALIASES[name] ?? snakeCase(name)) === option);
  if (option === undefined || written === undefined) {
    return error;
  }
  const message = error.message.replace(option, written);
  return new ConsulLockError(error.status, message, { retryable: error.retryable });
}

function setOption(set, name, value) {
  if (name === "client") {
    must(c.consul_lock_options_set_client(set, clientPointer(value), slot) === 0);
  } else if (name === "value") {
    const bytes = bytesToStore(value, 'option "value"', Status.INVALID_OPTION);
    must(c.consul_lock_options_set_bytes(set, name, bytes, bytes.length, slot) === 0);
  } else if (name === "share") {
    const mode = { true: "share", false: "exclusive" }[optionText(name, value)];
    if (mode === undefined) {
      const message = 'option "share" must be true or false';
      throw new ConsulLockError(Status.INVALID_OPTION, message);
    }
    must(c.consul_lock_options_set(set, ALIASES.share, mode, slot) === 0);
  } else {
    plainText(name, "an option's name", Status.INVALID_OPTION);
    must(c.consul_lock_options_set(set, name, optionText(name, value), slot) === 0);
  }
}

module.exports = {
  bytesToStore,
  clientPointer,
  clientPointers,
  lockOptions,
  optionNames,
  optionText,
  plainKey,
  plainOptions,
  plainText,
  snakeCase,
  withOptions,
};
