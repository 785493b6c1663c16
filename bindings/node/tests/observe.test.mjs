// The sessions that hold a key or wait for it, and observers of a key's holder, in JavaScript. The conformance suite
// tests the rules that all languages share.

import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createRequire } from "node:module";
import net from "node:net";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, ConsulLock, hold, holder, holders, observe } from "consul-lock";
import { AGENT, code, inLine, removeKeyOf, run, someKey, until } from "./support.mjs";

/** The next state of an observer. */
const next = async (observer) => (await observer.next()).value;

/** Passes bytes on to the agent, until it is closed with its connections. */
async function proxy(port = 0) {
  const [host, agent] = AGENT.split(":");
  const sockets = new Set();
  const server = net.createServer((socket) => {
    const there = net.connect(agent, host);
    for (const it of [socket, there]) {
      sockets.add(it.on("error", () => {}).on("close", () => sockets.delete(it)));
    }
    socket.pipe(there).pipe(socket);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port: server.address().port,
    async close() {
      server.close();
      for (const socket of sockets) {
        socket.destroy();
      }
      await once(server, "close");
    },
  };
}

test("holders has the exclusive holder, those that share the key, and the line", async () => {
  const key = someKey("holders");
  const free = { key: `locks/ephemeral/${key}`, exclusive: null, sharers: [], line: [] };
  assert.deepEqual(await holders(key), free);
  const client = new Client();
  const value = Buffer.from([0, 255, 34]);
  // A client has one place in the line of a key.
  const patient = () => ({ acquireTimeoutMs: 30_000, client: new Client() });
  const waiting = [];
  await hold(key, { value }, async ({ lock }) => {
    const reader = new ConsulLock(key, { ...patient(), limit: 3 });
    waiting.push(reader.acquire().then(() => reader));
    await inLine(lock, 1);
    const both = new ConsulLock([key, `${key}-2`], patient());
    waiting.push(both.acquire().then(() => both));
    await inLine(lock, 2);
    const found = await holders(key);
    assert.deepEqual(found.exclusive, await holder(key));
    assert.deepEqual(found.exclusive.value, value);
    assert.equal(found.exclusive.fencingToken, lock.fencingToken);
    assert.deepEqual(found.sharers, []);
    assert.equal(found.line.length, 2);
    const [first, second] = found.line;
    assert.deepEqual(Object.keys(first), [
      ...["session", "name", "node", "ttlMs", "mode", "limit", "keys"],
    ]);
    assert.match(first.name, new RegExp(`:${process.pid} `));
    assert.deepEqual([first.node, first.ttlMs], ["node", 180_000]);
    assert.deepEqual([first.mode, first.limit, first.keys], ["share", 3, []]);
    assert.deepEqual([second.mode, second.limit, second.keys], ["exclusive", null, both.keys]);
  });
  const reader = await waiting[0];
  const { sharers } = await client.holders(key);
  assert.equal(sharers.length, 1);
  const [{ session, fencingToken, since, limit, slot }] = sharers;
  assert.deepEqual([session, fencingToken], [reader.sessionId, reader.fencingToken]);
  assert.deepEqual([limit, slot], [3, reader.slot]);
  assert.ok(Math.abs(Date.now() - since) < 60_000, String(since));
  await reader.release();
  await (await waiting[1]).release();
  await hold(key, { share: true }, async () => {
    const [sharer] = (await holders(key)).sharers;
    assert.deepEqual([sharer.limit, sharer.slot], [null, null]);
  });
  await assert.rejects(holders("a//b"), code("INVALID_ARGUMENT"));
  await assert.rejects(holders(5), code("INVALID_ARGUMENT"));
  await assert.rejects(holders(key, client), TypeError);
});

test("a name that looks like a field of the JSON stays as it is", async () => {
  const sessionName = '"fencing_token":7,"a\\';
  const client = new Client({ sessionName });
  const key = someKey("holders-name");
  await hold(key, { client, share: true, value: sessionName }, async ({ fencingToken }) => {
    const [sharer] = (await holders(key)).sharers;
    assert.ok(sharer.name.startsWith(`${sessionName} `), sharer.name);
    assert.equal(String(sharer.value), sessionName);
    assert.equal(sharer.fencingToken, fencingToken);
  });
});

test("the tokens of holders are exact, and what Consul would not say is empty", () => {
  const { holdersIn } = createRequire(import.meta.url)("../lib/holder.cjs");
  const unknown = '"name":null,"node":null,"ttl_ms":null';
  const row = `"session":"s",${unknown},"since_ms":null,"value_base64":"AP8="`;
  const { exclusive, sharers } = holdersIn(
    `{"key":"k","exclusive":{${row},"fencing_token":18446744073709551615},` +
      `"sharers":[{"fencing_token":9007199254740993,${row},"limit":null,"slot":null}],"line":[]}`,
  );
  const value = Buffer.from([0, 255]);
  const holder = { session: "s", name: "", node: "", ttlMs: 0, value, since: null };
  assert.deepEqual(exclusive, { ...holder, fencingToken: 18446744073709551615n });
  const shares = { fencingToken: 9007199254740993n, limit: null, slot: null };
  assert.deepEqual(sharers, [{ ...holder, ...shares }]);
});

test("an observer has the present holder, and each change", async () => {
  const key = someKey("observe");
  const observer = observe(key);
  assert.deepEqual(await next(observer), { holder: null, error: null });
  await hold(key, { value: "first" }, async ({ lock, fencingToken }) => {
    const { holder: found, error } = await next(observer);
    assert.equal(error, null);
    assert.deepEqual(Object.keys(found).sort(), ["fencingToken", "session", "since", "value"]);
    assert.deepEqual([found.session, found.fencingToken], [lock.sessionId, fencingToken]);
    assert.deepEqual([String(found.value), found.since], ["first", null]);
  });
  assert.deepEqual(await next(observer), { holder: null, error: null });
  // Several calls of `next` get a state each, in their order.
  const calls = [observer.next(), observer.next()];
  const lock = new ConsulLock(key);
  await lock.acquire();
  assert.equal((await calls[0]).value.holder.session, lock.sessionId);
  await lock.release();
  assert.equal((await calls[1]).value.holder, null);
  observer.close();
});

test("a slow program gets the newest state, and misses those in between", async () => {
  const key = someKey("observe-slow");
  const observer = observe(key);
  await hold(key, () => sleep(1500));
  await hold(key, { value: "last" }, async () => {
    await sleep(2500); // the library has seen the holder
    assert.equal(String((await next(observer)).holder.value), "last");
  });
  observer.close();
});

test("a loop ends its observer by a break", async () => {
  const client = new Client();
  const key = someKey("observe-loop");
  const observer = client.observe(key);
  let rounds = 0;
  for await (const { holder: found, error } of observer) {
    assert.deepEqual([found, error], [null, null]);
    rounds++;
    break;
  }
  assert.equal(rounds, 1);
  assert.deepEqual(await observer.next(), { done: true, value: undefined });
});

test("close, return and the end of a scope end pending calls", async () => {
  const ends = {
    close: (observer) => observer.close(),
    return: async (observer) =>
      assert.deepEqual(await observer.return(), { done: true, value: undefined }),
    scope: (observer) => observer[Symbol.asyncDispose](),
  };
  for (const [name, end] of Object.entries(ends)) {
    const observer = observe(someKey("observe-ends"));
    await next(observer);
    const pending = [observer.next(), observer.next()];
    await end(observer);
    for (const it of pending) {
      assert.deepEqual(await it, { done: true, value: undefined }, name);
    }
    await end(observer);
    assert.deepEqual(await observer.next(), { done: true, value: undefined });
  }
});

test("a signal ends an observer, with its reason, once", async () => {
  const key = someKey("observe-signal");
  const controller = new AbortController();
  const { signal } = controller;
  const looped = (async () => {
    for await (const { error } of observe(key, { signal })) {
      assert.equal(error, null);
    }
  })();
  const quiet = new Client().observe(key, { signal }); // without a pending call
  const ended = observe(key, controller);
  ended.close();
  assert.equal(getEventListeners(signal, "abort").length, 2);
  await sleep(300);
  const reason = new Error("enough");
  controller.abort(reason);
  const isReason = (error) => error === reason;
  await assert.rejects(looped, isReason);
  await assert.rejects(quiet.next(), isReason);
  const late = observe(key, controller);
  await assert.rejects(late.next(), isReason);
  for (const observer of [quiet, ended, late]) {
    assert.deepEqual(await observer.next(), { done: true, value: undefined });
  }
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("the arguments of an observer are checked", () => {
  const client = new Client();
  assert.throws(() => observe("a//b"), code("INVALID_ARGUMENT"));
  assert.throws(() => observe(5), code("INVALID_ARGUMENT"));
  assert.throws(() => client.observe(""), code("INVALID_ARGUMENT"));
  for (const options of [{ signal: "signal" }, { timeoutMs: 5 }, new AbortController().signal]) {
    assert.throws(() => observe("key", options), TypeError);
    assert.throws(() => client.observe("key", options), TypeError);
  }
  assert.throws(() => observe("key", { client: {} }), code("INVALID_ARGUMENT"));
  client.close();
  assert.throws(() => client.observe("key"), code("INVALID_ARGUMENT"));
});

test("an observer has an error while Consul is away, and then the holder again", async () => {
  const key = someKey("observe-outage");
  await hold(key, { value: "leader" }, async () => {
    const first = await proxy();
    const client = new Client({ address: `127.0.0.1:${first.port}`, requestTimeoutMs: 1000 });
    const observer = client.observe(key);
    client.close(); // the observer keeps it
    assert.equal(String((await next(observer)).holder.value), "leader");
    await first.close();
    const { holder: unknown, error } = await next(observer);
    assert.equal(unknown, null);
    assert.deepEqual(
      [error.name, error.code],
      [...["ConsulLockError", "ERR_CONSUL_LOCK_UNAVAILABLE"]],
    );
    const second = await proxy(first.port);
    assert.equal(String((await next(observer)).holder.value), "leader");
    observer.close();
    await second.close();
  });
});

test("many observers of a key cost one blocking query, and all have the news", async () => {
  const client = new Client();
  const key = someKey("observe-many");
  const observers = Array.from({ length: 50 }, () => client.observe(key));
  await Promise.all(observers.map(next));
  await hold(key, { value: "one" }, async () => {
    for (const { holder: found } of await Promise.all(observers.map(next))) {
      assert.equal(String(found.value), "one");
    }
  });
  assert.ok(client.stats().connections_peak < 5, JSON.stringify(client.stats()));
  for (const observer of observers) {
    observer.close();
  }
});

test("a pending call keeps the process alive, and an observer alone does not", async () => {
  const key = someKey("observe-alive");
  const idle = await run(`
    import { observe } from "consul-lock";
    const observer = observe("${key}");
    await observer.next();
    const waited = observe("${key}");
    const pending = waited.next();
    waited.close();
    console.log(await pending);
  `);
  assert.deepEqual([idle.status, idle.stderr], [0, ""]);
  const lock = new ConsulLock(key);
  const ended = run(`
    import { observe } from "consul-lock";
    const observer = observe("${key}");
    await observer.next();
    console.log("waits");
    const { value } = await observer.next();
    console.log(String(value.holder.value));
  `);
  await sleep(3000);
  await lock.close();
  await hold(key, { value: "seen" }, async () => {
    const { status, stdout, stderr } = await ended;
    assert.deepEqual([status, stdout], [0, "waits\nseen\n"], stderr);
  });
});

test("the collector ends an observer that no call waits for, and no other", async () => {
  const { status, stderr } = await run(
    `
    import assert from "node:assert/strict";
    import { setTimeout as sleep } from "node:timers/promises";
    import { Client, hold } from "consul-lock";
    const client = new Client();
    const keys = ["${someKey("observe-gc")}", "${someKey("observe-gc")}"];
    for (let i = 0; i < 100; i++) client.observe(keys[0]);
    let pending;
    await (async () => {
      const observer = client.observe(keys[1]);
      await observer.next();
      pending = observer.next();
    })();
    for (let i = 0; i < 20; i++) { gc(); await sleep(10); }
    // The watch of a held key does not see the writes of its neighbours, and that of a free key does.
    const watches = () => client.stats().requests.watch;
    await hold(keys[1], { value: "seen" }, async () => {
      const { value } = await pending;
      assert.equal(String(value.holder.value), "seen");
      await sleep(2000);
      const before = watches();
      await hold(keys[0], () => sleep(1500));
      await hold(keys[0], () => sleep(1500));
      assert.ok(watches() - before <= 1, before + " and then " + watches());
    });
  `,
    { flags: ["--expose-gc"] },
  );
  assert.equal(status, 0, stderr);
});

test("a worker observes, and its end leaves the others alone", async () => {
  const key = someKey("observe-worker");
  const source = `
    import { parentPort } from "node:worker_threads";
    import { observe } from "consul-lock";
    observe("${key}").next().then(() => {});
    const observer = observe("${key}");
    await observer.next();
    parentPort.postMessage("waits");
    if (process.argv.at(-1) === "ends") process.exit(0);
    if (process.argv.at(-1) === "idle") await new Promise((resolve) => setTimeout(resolve, 10));
    else for await (const { holder } of observer) parentPort.postMessage(String(holder?.value));`;
  const worker = (how) =>
    new Worker(source, { eval: true, argv: [how], execArgv: ["--input-type=module"] });
  const mine = observe(key);
  await next(mine);
  const stays = worker("stays");
  const said = [];
  stays.on("message", (word) => said.push(word));
  await once(stays, "message");
  for (const how of ["ends", "idle"]) {
    const ended = worker(how);
    const [status] = await once(ended, "exit");
    assert.equal(status, 0, how);
  }
  const terminated = worker("stays");
  await once(terminated, "message");
  await terminated.terminate();
  const lock = new ConsulLock(key, { value: "seen" });
  await lock.acquire();
  assert.equal(String((await next(mine)).holder.value), "seen");
  await until(() => said.includes("seen"));
  await removeKeyOf(lock);
  assert.equal((await next(mine)).holder, null);
  await stays.terminate();
  mine.close();
  lock.abandon();
});
