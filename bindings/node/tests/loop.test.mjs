// No call blocks the event loop or uses a thread of its pool, and only pending calls keep the process alive.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ConsulLock } from "consul-lock";
import { inLine, run, someKey } from "./support.mjs";

const WAITS = 64;

/** The median times of a read of a file and of a timer of 1 ms, in milliseconds. */
async function latencies() {
  const median = async (act) => {
    const times = [];
    for (let i = 0; i < 200; i++) {
      const begun = performance.now();
      await act();
      times.push(performance.now() - begun);
    }
    return times.sort((a, b) => a - b)[100];
  };
  const file = fileURLToPath(import.meta.url);
  return { file: await median(() => readFile(file)), timer: await median(() => sleep(1)) };
}

test(`${WAITS} waits leave files and timers as quick as without`, async () => {
  const before = await latencies();
  const keys = Array.from({ length: WAITS / 4 }, () => someKey("waits"));
  const held = keys.map((key) => new ConsulLock(key));
  await Promise.all(held.map((lock) => lock.acquire()));
  const patient = { acquireTimeoutMs: Infinity };
  const waiting = keys.flatMap((key) =>
    Array.from({ length: 4 }, () => new ConsulLock(key, patient)),
  );
  const ended = waiting.map(async (lock) => {
    await lock.acquire();
    await lock.release();
  });
  await Promise.all(held.map((lock) => inLine(lock, 1)));
  const meanwhile = [await latencies(), await latencies(), await latencies()];
  await Promise.all(held.map((lock) => lock.release()));
  await Promise.all(ended);
  const after = await latencies();
  // With a wait on each of the pool's four threads each round would take seconds. A busy machine is slow in some rounds.
  for (const what of ["file", "timer"]) {
    const without = Math.max(before[what], after[what]);
    const least = Math.min(...meanwhile.map((it) => it[what]));
    assert.ok(least < 10 * without + 5, JSON.stringify({ before, meanwhile, after }));
  }
});

test("no call takes long on this thread, also when Consul does not answer", async () => {
  const { status, stderr } = await run(
    `
    import { monitorEventLoopDelay } from "node:perf_hooks";
    import net from "node:net";
    import assert from "node:assert/strict";
    import { Client, ConsulLock, holder, shutdown } from "consul-lock";
    const silent = net.createServer(() => {}).listen(0, "127.0.0.1");
    await new Promise((resolve) => silent.once("listening", resolve));
    const address = "127.0.0.1:" + silent.address().port;
    const client = new Client({ address, requestTimeoutMs: 2000, releaseTimeoutMs: 2000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    /** The longest stop of the loop, in milliseconds. */
    async function round() {
      const delay = monitorEventLoopDelay({ resolution: 10 });
      delay.enable();
      const locks = Array.from({ length: 50 }, (_, i) => new ConsulLock("silent" + i, { client }));
      const failed = locks.map((lock) => assert.rejects(lock.acquire(), { code: "ERR_CONSUL_LOCK_UNAVAILABLE" }));
      await assert.rejects(holder("silent", { client }), { code: "ERR_CONSUL_LOCK_UNAVAILABLE" });
      await Promise.all(failed);
      await Promise.all(locks.map((lock) => lock.close()));
      await shutdown({ timeoutMs: 500 }).catch(() => {});
      delay.disable();
      return delay.max / 1e6;
    }
    // A call that waits for Consul is slow in every round. A busy machine stops a thread in some rounds.
    const stood = [];
    do stood.push(await round()); while (stood.at(-1) >= 1000 && stood.length < 3);
    assert.ok(stood.at(-1) < 1000, "the loop stood still for " + stood + " ms");
    silent.close();
  `,
  );
  assert.equal(status, 0, stderr);
});

test("a pending wait keeps the process alive", async () => {
  const held = new ConsulLock(someKey("alive"));
  await held.acquire();
  const key = held.key.replace("locks/ephemeral/", "");
  const ended = run(`
    import { ConsulLock } from "consul-lock";
    const lock = new ConsulLock("${key}", { acquireTimeoutMs: -1 });
    await lock.acquire();
    console.log("taken");
    lock.release().then((given) => console.log("given", given)); // only the loop waits for it
  `);
  await inLine(held, 1);
  await sleep(1000);
  await held.release();
  const { status, stdout, stderr } = await ended;
  assert.deepEqual([status, stdout], [0, "taken\ngiven true\n"], stderr);
});

test("clients, locks without a pending call, and listeners do not keep the process alive", async () => {
  const { status, stderr, took } = await run(`
    import { Client, ConsulLock, setLogger, holder } from "consul-lock";
    const client = new Client();
    const held = new ConsulLock("${someKey("idle")}", { client, autoRenew: true });
    await held.acquire();
    held.onLost(() => console.log("lost"));
    setLogger(console.log);
    await holder("unheld");
    new ConsulLock("unused").onLost(() => {});
  `);
  assert.equal(status, 0, stderr);
  assert.ok(took < 10_000, `it took ${took} ms to end`);
  const unused = await run(`
    import { ConsulLock } from "consul-lock";
    new ConsulLock("unused").onLost(() => {}); // the process makes no call
  `);
  assert.equal(unused.status, 0, unused.stderr);
});

test("an import alone opens no socket", async () => {
  const { status, stdout, stderr } = await run(`
    import { readdirSync, readlinkSync } from "node:fs";
    const sockets = () => readdirSync("/proc/self/fd").filter((fd) => {
      try { return readlinkSync("/proc/self/fd/" + fd).startsWith("socket:"); } catch { return false; }
    }).length;
    const before = sockets();
    const { holder } = await import("consul-lock");
    const imported = sockets();
    await holder("unheld");
    console.log(imported - before, sockets() > before);
  `);
  assert.deepEqual([status, stdout], [0, "0 true\n"], stderr);
});
