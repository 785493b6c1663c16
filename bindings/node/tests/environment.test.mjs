// The package refuses a variable that only a worker's copy of the environment has, and the library cannot see.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { SHARE_ENV, Worker } from "node:worker_threads";
import { AGENT, API, HERE, someKey } from "./support.mjs";

const require = createRequire(import.meta.url);
const { VARIABLES } = require("../lib/environment.cjs");
const readme = readFileSync(`${HERE}/README.md`, "utf8");

/** Runs `source` in a worker, and gives the worker's message. */
function inWorker(source, options = {}) {
  const worker = new Worker(
    `import { parentPort } from "node:worker_threads";
     import * as it from "consul-lock";
     const refused = async (act) => {
       try { await act(); return "not refused"; } catch ({ code, message }) { return [code, message]; }
     };
     const key = "${someKey("environment")}";
     parentPort.postMessage(await (async () => { ${source} })());`,
    { eval: true, execArgv: ["--input-type=module"], ...options },
  );
  return new Promise((resolve, reject) => {
    worker.on("error", reject).on("message", resolve);
  });
}

const INVALID = "ERR_CONSUL_LOCK_INVALID_ENVIRONMENT";

test("a variable that is set in a worker alone is refused, by name and with the remedies", async () => {
  const told = await inWorker(`
    process.env.CONSUL_HTTP_ADDR = "127.0.0.1:1";
    return Promise.all([
      () => new it.ConsulLock(key),
      () => it.hold(key, () => {}),
      () => it.holder(key),
      () => it.stats(),
      () => new it.Client(),
      () => new it.Client({ token: "root", address: undefined }),
    ].map(refused));`);
  for (const [code, message] of told) {
    assert.equal(code, INVALID);
    assert.match(message, /^CONSUL_HTTP_ADDR: .* option address, .*SHARE_ENV/);
  }
});

test("a variable of the Worker's option env is refused", async () => {
  const env = { ...process.env, CONSUL_HTTP_TOKEN: "a secret" };
  const [code, message] = await inWorker(`return refused(() => new it.ConsulLock(key));`, { env });
  assert.equal(code, INVALID);
  assert.match(message, /^CONSUL_HTTP_TOKEN: .* option token,/);
  assert.doesNotMatch(message, /a secret/);
});

test("a variable that an option or a client overrides is not refused", async () => {
  const answer = await inWorker(`
    process.env.CONSUL_HTTP_ADDR = "127.0.0.1:1";
    process.env.CONSUL_HTTP_TOKEN_FILE = "/nowhere";
    const client = new it.Client({ address: "${AGENT}", token: "" });
    await it.hold(key, { client }, () => {});
    return "held";`);
  assert.equal(answer, "held");
});

test("an equal, empty or missing variable is not refused, nor is SHARE_ENV", async () => {
  const held = `return it.hold(key, () => "held");`;
  assert.equal(await inWorker(held), "held");
  const { NODE_PATH, CONSUL_LOCK_LIBRARY } = process.env;
  assert.equal(await inWorker(held, { env: { NODE_PATH, CONSUL_LOCK_LIBRARY } }), "held");
  assert.equal(await inWorker(`process.env.CONSUL_HTTP_TOKEN = ""; ${held}`), "held");
  const shared = `process.env.CONSUL_NAMESPACE = "";
    process.env.CONSUL_TLS_SERVER_NAME = "seen"; ${held}`;
  try {
    assert.equal(await inWorker(shared, { env: SHARE_ENV }), "held");
    assert.equal(process.env.CONSUL_TLS_SERVER_NAME, "seen");
  } finally {
    delete process.env.CONSUL_TLS_SERVER_NAME;
    delete process.env.CONSUL_NAMESPACE;
  }
});

test("a default client that the worker sets does not depend on the environment", async () => {
  const told = await inWorker(`
    process.env.CONSUL_HTTP_ADDR = "127.0.0.1:1";
    it.setDefaultClient(new it.Client({ address: "${AGENT}" }));
    const held = await it.hold(key, () => "held");
    it.setDefaultClient(null);
    return [held, ...(await refused(() => new it.ConsulLock(key)))];`);
  assert.deepEqual(told.slice(0, 2), ["held", INVALID]);
});

test("the variables are those of the library", () => {
  const known = API.options.filter(({ env }) => env !== null);
  assert.deepEqual(
    Object.entries(VARIABLES).map(([env, [name]]) => `${env} ${name}`),
    known.map(({ env, name }) => `${env} ${name}`),
  );
  for (const name of Object.keys(VARIABLES)) {
    assert.match(readme, new RegExp(`\`${name}\``));
  }
});
