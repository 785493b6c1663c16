"use strict";

/* The functions that concern the whole process, with all its threads. */

const { AsyncResource } = require("node:async_hooks");
const { c, must, slot } = require("./native.cjs");
const { Client, statsOf } = require("./client.cjs");
const { defaultClientIsSet, heedDefaultClient } = require("./environment.cjs");
const { ConsulLockError, Status, raise } = require("./errors.cjs");
const { listenToLog, start } = require("./events.cjs");
const { askHolder, askHolders } = require("./holder.cjs");
const { observeWith } = require("./observer.cjs");
const { clientPointer, optionText, plainOptions, plainText, snakeCase } = require("./options.cjs");

/** The levels of the log. The library's number of the first is 1. */
const LOG_LEVELS = ["error", "warn", "info", "debug"];

function setDefault(name, value) {
  const option = snakeCase(plainText(name, "the name of a default", Status.INVALID_OPTION));
  must(c.consul_lock_defaults_set(option, optionText(option, value), slot) === 0);
}

function setDefaultClient(client) {
  c.consul_lock_set_default_client(client === null ? null : clientPointer(client));
  defaultClientIsSet(client !== null);
}

/** The client of a call, by its option `client`. Null: the default client. */
function clientIn(options) {
  const client = plainOptions(options)?.client;
  if (client === undefined) {
    heedDefaultClient();
    return null;
  }
  return clientPointer(client);
}

async function holder(key, options) {
  return askHolder(clientIn(options), key);
}

async function holders(key, options) {
  return askHolders(clientIn(options), key);
}

function observe(key, options) {
  const { client, signal, ...others } = options ?? {};
  if (signal === undefined) {
    plainOptions(options); // refuses an AbortSignal, among others
  }
  return observeWith(clientIn({ client }), key, { signal, ...others });
}

function stats() {
  heedDefaultClient();
  const told = statsOf(null);
  if (told === null) {
    // The library cannot make the default client. The error of another client from the environment says why.
    new Client().close();
  }
  return told ?? statsOf(null);
}

/** An exception of the callback is an uncaught exception, and does not stop the log. */
function setLogger(callback, { level = "info" } = {}) {
  const number = LOG_LEVELS.indexOf(level) + 1;
  if (number === 0) {
    const message = `level must be one of ${LOG_LEVELS.join(", ")}`;
    throw new ConsulLockError(Status.INVALID_ARGUMENT, message);
  }
  if (callback === null) {
    listenToLog(null, number);
    return;
  }
  if (typeof callback !== "function") {
    throw new TypeError("setLogger takes a function, or null");
  }
  const bound = AsyncResource.bind(callback);
  listenToLog((told, line) => queueMicrotask(() => bound(LOG_LEVELS[told - 1], line)), number);
}

async function shutdown({ timeoutMs = 30000 } = {}) {
  if (!Number.isSafeInteger(timeoutMs)) {
    const message = "timeoutMs must be a whole number from 0 to 86400000";
    throw new ConsulLockError(Status.INVALID_ARGUMENT, message);
  }
  const error = await start(c.consul_lock_shutdown_start, timeoutMs);
  if (error !== null) {
    raise(error);
  }
}

module.exports = {
  LOG_LEVELS,
  holder,
  holders,
  observe,
  setDefault,
  setDefaultClient,
  setLogger,
  shutdown,
  stats,
};
