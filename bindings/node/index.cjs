"use strict";

/* The implementation, which index.js gives to `import`. index.d.cts documents it. */

const { Client } = require("./lib/client.cjs");
const { ConsulLockError } = require("./lib/errors.cjs");
const { hold } = require("./lib/hold.cjs");
const { ConsulLock } = require("./lib/lock.cjs");
const { c } = require("./lib/native.cjs");
const {
  holder,
  holders,
  observe,
  setDefault,
  setDefaultClient,
  setLogger,
  shutdown,
  stats,
} = require("./lib/process.cjs");
const { setValueGenerator } = require("./lib/values.cjs");

module.exports = {
  Client,
  ConsulLock,
  ConsulLockError,
  hold,
  holder,
  holders,
  observe,
  setDefault,
  setDefaultClient,
  setLogger,
  setValueGenerator,
  shutdown,
  stats,
  version: c.consul_lock_version(),
};
