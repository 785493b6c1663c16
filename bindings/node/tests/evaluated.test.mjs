// One process evaluates the package many times: as a test runner that clears the cache of require, in contexts of vm,
// and in workers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { run, someKey } from "./support.mjs";

const TIMES = 60;

const EVALUATE = `
  import assert from "node:assert/strict";
  import { readdirSync, readFileSync } from "node:fs";
  import { createRequire } from "node:module";
  import path from "node:path";
  import vm from "node:vm";
  import { Worker } from "node:worker_threads";
  const require = createRequire(path.resolve("index.cjs"));
  const descriptors = () => readdirSync("/proc/self/fd").length;

  /** The ways to evaluate the package. */
  const ways = {
    "the cache of require": () => {
      for (const name of Object.keys(require.cache)) {
        if (name.startsWith(process.cwd())) delete require.cache[name];
      }
      return require("./index.cjs");
    },
    // As in test runners, each context has its own globals and a copy of process, and shares Node's own modules.
    "a context": () => {
      const { env, platform, arch } = process;
      const globals = { AbortController, Buffer, EventTarget, queueMicrotask, process: { env, platform, arch } };
      const parsingContext = vm.createContext(globals);
      const cache = new Map();
      const load = (file) => {
        if (!cache.has(file)) {
          const module = { exports: {} };
          cache.set(file, module);
          const near = (name) =>
            name.startsWith(".") ? load(path.join(path.dirname(file), name)) : require(name);
          const names = ["module", "exports", "require", "__filename", "__dirname"];
          vm.compileFunction(readFileSync(file, "utf8"), names, { filename: file, parsingContext })(
            module, module.exports, near, file, path.dirname(file));
        }
        return cache.get(file).exports;
      };
      return load(path.resolve("index.cjs"));
    },
  };

  /** Each evaluation works, and its listeners go on after the next evaluation. */
  async function use({ ConsulLock, ConsulLockError, setLogger, hold, observe }, key) {
    const held = await hold(key, async ({ lock }) => {
      const other = new ConsulLock(key);
      const error = await other.acquire().catch((it) => it);
      assert.ok(error instanceof ConsulLockError, String(error));
      assert.equal(error.code, "ERR_CONSUL_LOCK_NOT_ACQUIRED");
      return lock.isHeld;
    });
    assert.equal(held, true);
    for await (const { holder, error } of observe(key)) {
      assert.deepEqual([holder, error], [null, null]);
      break;
    }
    setLogger(() => {});
  }`;

test(`${TIMES} evaluations in one thread cost the descriptors of one`, async () => {
  const { status, stdout, stderr } = await run(
    `${EVALUATE}
    const key = "${someKey("evaluated")}";
    const first = require("./index.cjs");
    await use(first, key);
    let lost = 0;
    const locks = [];
    for (const [name, evaluate] of Object.entries(ways)) {
      await use(evaluate(), key);
      const before = descriptors();
      for (let i = 0; i < ${TIMES}; i++) {
        const again = evaluate();
        assert.notEqual(again.ConsulLock, first.ConsulLock);
        await use(again, key);
        if (i % 20 === 0) {
          const lock = new again.ConsulLock(key + name.length + i);
          lock.onLost(() => lost++);
          await lock.acquire();
          locks.push(lock);
        }
      }
      // Connections come and go.
      assert.ok(descriptors() - before < 20, name + ": " + before + " and then " + descriptors());
    }
    for (const { key } of locks) {
      await fetch("http://" + process.env.CONSUL_HTTP_ADDR + "/v1/kv/" + key, { method: "DELETE" });
    }
    for (const lock of locks) await assert.rejects(lock.check(), { code: "ERR_CONSUL_LOCK_LOST" });
    while (lost < locks.length) await new Promise((resolve) => setTimeout(resolve, 10));
    await use(first, key);
    await first.shutdown();
    console.log("lost", lost);
  `,
    { patience: 120_000 },
  );
  assert.deepEqual([status, stdout], [0, "lost 6\n"], stderr);
});

test(`${TIMES} workers cost no descriptor when they have ended`, async () => {
  const { status, stderr } = await run(
    `${EVALUATE}
    const source = \`
      import { hold } from "consul-lock";
      await hold("${someKey("worker")}", async () => {});\`;
    const worker = () => new Promise((resolve, reject) => {
      new Worker(source, { eval: true, execArgv: ["--input-type=module"] }).on("error", reject).on("exit", resolve);
    });
    await worker();
    const before = descriptors();
    for (let i = 0; i < ${TIMES}; i++) await worker();
    assert.ok(descriptors() - before < 20, before + " and then " + descriptors());
  `,
    { patience: 120_000 },
  );
  assert.equal(status, 0, stderr);
});
