// Many rounds leave nothing behind: no memory, threads, descriptors or sessions. The garbage collector does not disturb
// locks in use, and abandons forgotten ones.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { consul, NIGHTLY, run, someKey } from "./support.mjs";

const CYCLES = NIGHTLY ? 100_000 : 10_000;

/** A heap of a fixed size, so that growth is a leak. */
const STEADY = ["--expose-gc", "--max-semi-space-size=1"];

const MEASURE = `
  import assert from "node:assert/strict";
  import { readdirSync, readFileSync } from "node:fs";
  const rss = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024;
  const count = (what) => readdirSync("/proc/self/" + what).length;
  const measure = () => {
    for (let i = 0; i < 3; i++) gc();
    return { megabytes: rss(), threads: count("task"), descriptors: count("fd") };
  };
  /** A leak grows in every round, and a heap only in some. */
  async function steady(megabytes, round) {
    const most = { megabytes, threads: 5, descriptors: 5 };
    const told = [measure()];
    const grows = (what) =>
      told.every((now, i) => i === 0 || now[what] - told[i - 1][what] > most[what]);
    const growing = () => Object.keys(most).filter(grows);
    do {
      await round();
      told.push(measure());
    } while (growing().length > 0 && told.length <= 4);
    console.log(JSON.stringify(told));
    assert.deepEqual(growing(), []);
  }`;

const ours = async (pid) =>
  (await consul("GET", "session/list")).filter(({ Name }) => Name.includes(`:${pid} `));

describe("soak", { concurrency: true }, () => {
  test(`${CYCLES} cycles leave nothing behind`, { timeout: 600_000 }, async () => {
    const { status, stdout, stderr } = await run(
      `${MEASURE}
      import { ConsulLock, hold, holder, holders, observe, shutdown } from "consul-lock";
      async function cycles(count, key) {
        for (let i = 0; i < count; i++) {
          const lock = new ConsulLock(key, { acquireTimeoutMs: 5000, value: "soak" });
          if (i % 4 === 0) lock.onLost(() => {});
          await lock.acquire({ signal: i % 2 ? new AbortController().signal : undefined });
          await lock.release();
        }
      }
      const round = (count) => Promise.all([
        cycles(count / 2, "${someKey("soak-a")}"),
        cycles(count / 2, "${someKey("soak-b")}"),
        (async () => {
          for (let i = 0; i < count / 50; i++) {
            await hold("${someKey("soak-c")}", () => holder("unheld"));
            assert.throws(() => new ConsulLock("a//b"));
            assert.throws(() => new ConsulLock(["a", "b//c"]));
            await hold(["${someKey("soak-d")}", "${someKey("soak-e")}"], async ({ lock }) => {
              assert.equal(lock.keys.length, 2);
            });
            await hold("${someKey("soak-f")}", { limit: 2 }, async ({ lock }) => {
              await lock.upgrade({ signal: new AbortController().signal });
              await lock.downgrade();
              assert.equal((await holders("${someKey("soak-g")}")).line.length, 0);
            });
            const { signal } = new AbortController();
            const observer = observe("${someKey("soak-h")}", { signal });
            await observer.next();
            observer.next().then(({ done }) => assert.ok(done));
            observer.close();
          }
        })(),
      ]);
      await round(2000);
      await steady(3, () => round(${CYCLES}));
      await shutdown();
      console.log(process.pid);
    `,
      { flags: STEADY, patience: 600_000 },
    );
    assert.equal(status, 0, stdout + stderr);
    const pid = stdout.trim().split("\n").at(-1);
    assert.deepEqual(await ours(pid), [], "sessions are left");
  });

  test("waits that are cancelled, refused or time out leave nothing behind", async () => {
    const { status, stdout, stderr } = await run(
      `${MEASURE}
      import { Client, ConsulLock } from "consul-lock";
      const key = "${someKey("soak-waits")}";
      const held = new ConsulLock(key);
      await held.acquire();
      const nowhere = new Client({ address: process.env.TEST_CONSUL_DEAD_ADDR });
      async function round() {
        await Promise.all(Array.from({ length: 100 }, async (_, i) => {
          const controller = new AbortController();
          const client = i % 4 === 0 ? nowhere : undefined;
          const acquireTimeoutMs = i % 4 === 1 ? 50 : i % 4 === 2 ? 0 : 5000;
          const ended = new ConsulLock(key, { client, acquireTimeoutMs }).acquire(controller);
          setTimeout(() => controller.abort(), 100);
          await assert.rejects(ended);
        }));
      }
      for (let i = 0; i < 5; i++) await round();
      await steady(3, async () => {
        for (let i = 0; i < 30; i++) await round();
      });
      await held.release();
    `,
      { flags: STEADY, patience: 120_000 },
    );
    assert.equal(status, 0, stdout + stderr);
  });

  test("workers that are terminated leave nothing behind, however many waits they had", async () => {
    const { status, stdout, stderr } = await run(
      `${MEASURE}
      import { Worker } from "node:worker_threads";
      import { ConsulLock, stats } from "consul-lock";
      const key = "${someKey("soak-workers")}";
      const source = \`
        import { parentPort } from "node:worker_threads";
        import { ConsulLock, holder, observe } from "consul-lock";
        for (let i = 0; i < 50; i++) {
          new ConsulLock("\${key}", { acquireTimeoutMs: -1 }).acquire();
        }
        await holder("\${key}");
        for (let i = 0; i < 50; i++) observe("\${key}").next();
        parentPort.postMessage("waits");
        setInterval(() => {}, 1000);\`;
      async function worker() {
        const it = new Worker(source, { eval: true, execArgv: ["--input-type=module"] });
        await new Promise((resolve) => it.once("message", resolve));
        await it.terminate();
      }
      async function round() {
        const held = new ConsulLock(key);
        await held.acquire();
        for (let i = 0; i < 10; i++) await worker();
        await held.release();
        const next = new ConsulLock(key, { acquireTimeoutMs: 30_000 });
        await next.acquire(); // the 500 waits before it belonged to terminated workers
        await next.release();
        while (stats().waiting > 0) await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await round();
      await steady(3, round);
    `,
      { flags: STEADY, patience: 120_000 },
    );
    assert.equal(status, 0, stdout + stderr);
  });

  test("the collector disturbs neither waits nor signals nor held locks", async () => {
    const { status, stdout, stderr } = await run(
      `
      import assert from "node:assert/strict";
      import { setTimeout as sleep } from "node:timers/promises";
      import { ConsulLock, hold } from "consul-lock";
      const stress = setInterval(() => gc(), 1).unref();
      const key = "${someKey("gc")}";
      const held = new ConsulLock(key);
      await held.acquire();
      // Nothing but the pending calls refers to these locks.
      const waits = Array.from({ length: 64 }, () =>
        hold(key, { acquireTimeoutMs: -1 }, async ({ lock }) => { await sleep(1); assert.ok(lock.isHeld); }));
      let told = null;
      await (async () => {
        const lock = new ConsulLock(key + "-lost", { lockTimeoutSeconds: 10 });
        lock.onLost((error) => (told = error.lostReason));
        await lock.acquire();
        await fetch("http://" + process.env.CONSUL_HTTP_ADDR + "/v1/kv/" + lock.key, { method: "DELETE" });
      })();
      await sleep(1500); // the library watches a lock from one second on
      await held.release();
      await Promise.all(waits);
      while (told === null) await sleep(10);
      console.log(told);
    `,
      { flags: ["--expose-gc"] },
    );
    assert.deepEqual([status, stdout], [0, "KEY_GONE\n"], stderr);
  });

  test("locks that are forgotten are abandoned, and the first held one is reported", async () => {
    const { status, stdout, stderr } = await run(
      `${MEASURE}
      import { setTimeout as sleep } from "node:timers/promises";
      import { Client, ConsulLock, holder } from "consul-lock";
      const warnings = [];
      process.on("warning", (warning) => warnings.push(warning));
      const key = "${someKey("forgotten")}";
      for (let i = 0; i < 2000; i++) {
        new ConsulLock(key + i);
        new Client();
      }
      for (let i = 0; i < 3; i++) await new ConsulLock(key + i).acquire();
      for (let i = 0; warnings.length === 0 && i < 500; i++) { gc(); await sleep(10); }
      for (let i = 0; i < 10; i++) { gc(); await sleep(10); }
      assert.equal(warnings.length, 1);
      assert.equal(warnings[0].code, "CONSUL_LOCK_FORGOTTEN");
      assert.match(warnings[0].message, /forgotten.*garbage-collected while it was held/);
      for (let i = 0; i < 3; i++) assert.notEqual(await holder(key + i), null, "it stays in Consul");
    `,
      { flags: ["--expose-gc"] },
    );
    assert.equal(status, 0, stdout + stderr);
  });
});
