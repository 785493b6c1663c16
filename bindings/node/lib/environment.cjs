"use strict";

/*
 * The library reads the environment of the process. `process.env` of a worker is a copy of it, and so is that
 * of some test runners: what a program sets there, the library cannot see, and would look for another Consul
 * than the program means. So a client is not made from an environment of which JavaScript says otherwise.
 */

const koffi = require("koffi");
const { ConsulLockError, Status } = require("./errors.cjs");

const getenv = koffi.load(null).func("getenv", "str", ["str"]);

/** The variables that a client is made from, each with the options that set it aside. */
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
 * Throws if a client cannot be made as this thread's `process.env` says.
 *
 * @param {(option: string) => boolean} isGiven whether an option, by the library's own name, is given
 */
function heedEnvironment(isGiven = () => false) {
  for (const [name, options] of Object.entries(VARIABLES)) {
    const here = process.env[name];
    if (here && !options.some(isGiven) && here !== getenv(name)) {
      const option = options[0].replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
      const message =
        `${name}: process.env of this thread is a copy, and the environment of the process, which the library ` +
        `reads, says otherwise; give a Client the option ${option}, start the worker with env: SHARE_ENV, or set ` +
        "the variable before the process starts or in its main thread";
      throw new ConsulLockError(Status.INVALID_ENVIRONMENT, message);
    }
  }
}

/** Whether this thread need not look any more: the default client is there, or is not made from the environment. */
let hasDefaultClient = false;

/** The same, for who uses the default client: one from the environment is made once, at its first use. */
function heedDefaultClient() {
  if (!hasDefaultClient) {
    heedEnvironment();
    hasDefaultClient = true;
  }
}

/** The default client was set, or is to be the one from the environment again. */
function defaultClientIsSet(isSet) {
  hasDefaultClient = isSet;
}

module.exports = { VARIABLES, defaultClientIsSet, heedDefaultClient, heedEnvironment };
