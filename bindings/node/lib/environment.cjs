"use strict";

/*
 * The library reads the environment of the process. The `process.env` of a worker, and of some test runners, is a
 * copy: the library cannot see a variable that a program sets there, and would use another Consul than the program
 * means. So this package makes no client from a variable that has another value in the copy.
 */

const { ConsulLockError, Status } = require("./errors.cjs");
const { koffi } = require("./loader.cjs");

const getenv = koffi.load(null).func("getenv", "str", ["str"]);

/** The variables that the library reads for a client, each with the options that override it. */
const VARIABLES = {
  CONSUL_HTTP_ADDR: ["address"],
  CONSUL_HTTP_SSL: ["ssl"],
  CONSUL_HTTP_SSL_VERIFY: ["ssl_verify"],
  CONSUL_CACERT: ["ca_file", "ca_path"],
  CONSUL_CAPATH: ["ca_path", "ca_file"],
  CONSUL_CLIENT_CERT: ["client_cert", "client_key"],
  CONSUL_CLIENT_KEY: ["client_key", "client_cert"],
  CONSUL_TLS_SERVER_NAME: ["tls_server_name"],
  CONSUL_HTTP_TOKEN: ["token", "token_file"],
  CONSUL_HTTP_TOKEN_FILE: ["token_file", "token"],
  CONSUL_HTTP_AUTH: ["http_auth"],
  CONSUL_NAMESPACE: ["namespace"],
  CONSUL_PARTITION: ["partition"],
};

/**
 * Throws if this thread's `process.env` has another value of a variable than the process.
 *
 * @param {(option: string) => boolean} isGiven whether the caller has set an option, by the library's own name
 */
function heedEnvironment(isGiven = () => false) {
  for (const [name, options] of Object.entries(VARIABLES)) {
    const here = process.env[name];
    if (here && !options.some(isGiven) && here !== getenv(name)) {
      const option = options[0].replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
      const message =
        `${name}: process.env of this thread is a copy, and has another value than the environment of the process, ` +
        `which the library reads; give a Client the option ${option}, start the worker with env: SHARE_ENV, or set ` +
        "the variable before the process starts or in its main thread";
      throw new ConsulLockError(Status.INVALID_ENVIRONMENT, message);
    }
  }
}

/** Whether the default client exists, so that the environment does not matter any more. */
let hasDefaultClient = false;

/** Checks the environment before the first use of the default client, at which the library makes that client. */
function heedDefaultClient() {
  if (!hasDefaultClient) {
    heedEnvironment();
    hasDefaultClient = true;
  }
}

/** Notes whether the program has set a default client, or has restored the one from the environment. */
function defaultClientIsSet(isSet) {
  hasDefaultClient = isSet;
}

module.exports = { VARIABLES, defaultClientIsSet, heedDefaultClient, heedEnvironment };
