"use strict";

/* A Consul for tests, which testing.js gives to `import`. testing.d.cts documents it. */

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { createInterface } = require("node:readline");
const { Client } = require("./lib/client.cjs");

/** What consul-lock prints before the address, when it serves. */
const READY = "CONSUL_HTTP_ADDR=";
/** How long consul-lock may take to end. */
const PATIENCE_MS = 5000;

class Consul {
  #process;
  #client;

  constructor(process, address) {
    this.#process = process;
    this.address = address;
  }

  get client() {
    this.#client ??= new Client({ address: this.address, ssl: false });
    return this.#client;
  }

  async stop() {
    this.#client?.close();
    this.#client = undefined;
    await end(this.#process);
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}

async function startConsul(test, options) {
  const consul = await start(argumentsOf(options ?? {}));
  test?.after(() => consul.stop());
  return consul;
}

function argumentsOf({ speed, real }) {
  const words = ["dev"];
  if (speed !== undefined) {
    words.push("--speed", String(speed));
  }
  if (real) {
    words.push(real === true ? "--real" : `--real=${real}`);
  }
  return words;
}

/** Starts the program, and waits until it serves. */
async function start(words) {
  const program = process.env.CONSUL_LOCK_COMMAND || "consul-lock";
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
  const closed = once(child, "close").catch((error) => {
    throw new Error(
      `could not start ${program}: ${error.message}; install libconsul_lock with its command (\`make\`, ` +
        "`make install`), or name the program in CONSUL_LOCK_COMMAND",
      { cause: error },
    );
  });
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, "line").then(([line]) => line), closed]);
  if (typeof first === "string" && first.startsWith(READY)) {
    // A Consul that is not stopped keeps no program alive, and ends with it.
    for (const one of [child, child.stdout, child.stderr]) {
      one.unref();
    }
    return new Consul(child, first.slice(READY.length));
  }
  await end(child);
  await closed;
  const said = typeof first === "string" ? `${first} ` : "";
  throw new Error(`${[program, ...words].join(" ")} did not serve: ${said}${errors.trim()}`);
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) {
    return;
  }
  child.ref();
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  await exited;
  clearTimeout(late);
}

module.exports = { Consul, startConsul };
