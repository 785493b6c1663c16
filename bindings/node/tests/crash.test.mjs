// Accidents, provoked often: terminated threads, exits while calls wait, exceptions in callbacks. Each test runs a
// process, which must end as its program says and not by a signal.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AGENT, run, someKey, TIMES } from "./support.mjs";

/** Runs a program TIMES times, as many at once as there are processors. */
async function often(source, judge) {
  let left = TIMES;
  const work = async () => {
    while (left-- > 0) {
      judge(await run(source(someKey("crash"))));
    }
  };
  await Promise.all([work(), work()]);
}

const WAITING = (key) => `
  import { ConsulLock, holders, observe } from "consul-lock";
  const held = new ConsulLock("${key}");
  await held.acquire();
  held.onLost(() => {});
  const shares = [1, 2].map(() => new ConsulLock("${key}-shared", { limit: 2 }));
  for (const share of shares) await share.acquire();
  shares[0].upgrade({ timeoutMs: Infinity }).catch(() => {});
  for (const name of ["${key}", "${key}-shared"]) {
    holders(name).catch(() => {});
    const observer = observe(name);
    observer.next().then(() => observer.next());
  }
  for (let i = 0; i < 8; i++) {
    new ConsulLock("${key}", { acquireTimeoutMs: -1 }).acquire().catch(() => {});
  }
  new ConsulLock("${key}-other").acquire();`;

test(`process.exit with waits pending, ${TIMES} times`, async () => {
  const source = (key) => `${WAITING(key)}
    process.on("exit", () => console.log("at exit"));
    setTimeout(() => process.exit(7), Math.random() * 30);`;
  await often(source, ({ status, signal, stdout, stderr }) =>
    assert.deepEqual([status, signal, stdout], [7, null, "at exit\n"], stderr),
  );
});

test(`an uncaught exception with waits pending, ${TIMES} times`, async () => {
  const source = (key) => `${WAITING(key)}
    setTimeout(() => { throw new Error("on purpose"); }, Math.random() * 30);`;
  await often(source, ({ status, signal, stderr }) => {
    assert.deepEqual([status, signal], [1, null], stderr);
    assert.match(stderr, /on purpose/);
  });
});

test(`exceptions in callbacks are uncaught exceptions, and nothing stops, ${TIMES} times`, async () => {
  const source = (key) => `
    import { ConsulLock, setLogger } from "consul-lock";
    const caught = [];
    process.on("uncaughtException", (error) => caught.push(error.message));
    setLogger(() => { throw new Error("logger"); });
    const lock = new ConsulLock("${key}", { monitor: false });
    lock.onLost(() => { throw new Error("onLost"); });
    lock.signal.addEventListener("abort", () => { throw new Error("signal"); });
    await lock.acquire();
    await fetch("http://${AGENT}/v1/kv/" + lock.key, { method: "DELETE" });
    await lock.check().catch(() => {});
    for (let i = 0; i < 3; i++) { // events still come
      const next = new ConsulLock("${key}-next");
      await next.acquire();
      await next.release();
    }
    while (new Set(caught).size < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    console.log([...new Set(caught)].sort().join());`;
  await often(source, ({ status, signal, stdout, stderr }) =>
    assert.deepEqual([status, signal, stdout], [0, null, "logger,onLost,signal\n"], stderr),
  );
});

test(`workers that end, exit or are terminated while they wait, ${TIMES} times`, async () => {
  const source = (key) => `
    import { Worker } from "node:worker_threads";
    import { ConsulLock } from "consul-lock";
    const worker = (source) => new Worker(source, { eval: true, execArgv: ["--input-type=module"] });
    const ours = new ConsulLock("${key}");
    await ours.acquire();
    const other = new ConsulLock("${key}-shared", { share: true });
    await other.acquire();
    const waits = \`
      import { parentPort } from "node:worker_threads";
      import { ConsulLock, observe } from "consul-lock";
      const share = new ConsulLock("${key}-shared", { share: true, acquireTimeoutMs: 30000 });
      share.acquire().then(() => share.upgrade({ timeoutMs: Infinity })).catch(() => {});
      const observer = observe("${key}");
      observer.next().then(() => observer.next());
      const lock = new ConsulLock("${key}", { acquireTimeoutMs: -1 });
      lock.onLost(() => {});
      const ended = lock.acquire();
      parentPort.postMessage("waits");\`;
    const ends = ["", "process.exit(0);", "throw new Error('on purpose');"];
    const workers = ends.map((end) => worker(waits + (end && "setTimeout(() => {" + end + "}, Math.random() * 20);")));
    await Promise.all(workers.map((it) => new Promise((resolve) => {
      it.on("error", () => {});
      it.once("message", resolve);
    })));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    await Promise.all(workers.map((it) => it.terminate()));
    await ours.release();
    await other.release();
    // Only this thread still waits, and it goes on as before.
    const next = new ConsulLock("${key}", { acquireTimeoutMs: 30000 });
    await next.acquire();
    console.log(await next.release());`;
  await often(source, ({ status, signal, stdout, stderr }) =>
    assert.deepEqual([status, signal, stdout], [0, null, "true\n"], stderr),
  );
});

test("threads have queues and generators of their own, and locks between them", async () => {
  const key = someKey("threads");
  const { status, stdout, stderr } = await run(`
    import { Worker } from "node:worker_threads";
    const source = \`
      import assert from "node:assert/strict";
      import { parentPort, workerData } from "node:worker_threads";
      import { ConsulLock, holder, setValueGenerator } from "consul-lock";
      setValueGenerator(() => "of thread " + workerData);
      const tokens = [];
      for (let i = 0; i < 25; i++) {
        const lock = new ConsulLock("${key}", { acquireTimeoutMs: -1 });
        await lock.acquire();
        assert.equal(String((await holder("${key}")).value), "of thread " + workerData);
        tokens.push(lock.fencingToken);
        assert.ok(await lock.release());
      }
      parentPort.postMessage(tokens);\`;
    const tokens = await Promise.all([1, 2, 3, 4].map((workerData) => new Promise((resolve, reject) => {
      const worker = new Worker(source, { eval: true, workerData });
      worker.on("error", reject);
      worker.on("message", resolve);
    })));
    console.log(new Set(tokens.flat()).size);
  `);
  assert.deepEqual([status, stdout], [0, "100\n"], stderr);
});
