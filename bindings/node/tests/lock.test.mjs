// The JavaScript interface: promises, signals, errors, scopes. The conformance suite tests the rules that all languages
// share.

import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { getEventListeners } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { inspect } from "node:util";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, ConsulLock, ConsulLockError, hold, holder, setLogger, stats } from "consul-lock";
import { AGENT, code, consul, inLine, removeKeyOf, row, run, someKey, until } from "./support.mjs";

const forever = { acquireTimeoutMs: Infinity };

test("a life", async () => {
  const lock = new ConsulLock(someKey("life"), { lockTimeoutSeconds: 30 });
  assert.deepEqual([lock.isHeld, lock.remainingMs, lock.fencingToken], [false, 0, 0n]);
  assert.equal(lock.sessionId, "");
  assert.equal(await lock.acquire(), undefined);
  assert.ok(lock.isHeld);
  assert.ok(lock.remainingMs > 20_000 && lock.remainingMs <= 30_000);
  assert.equal(typeof lock.fencingToken, "bigint");
  assert.equal((await row(lock)).Session, lock.sessionId);
  const { fencingToken, sessionId } = lock;
  assert.equal(await lock.release(), true);
  assert.equal(await lock.release(), false);
  assert.deepEqual([lock.isHeld, lock.remainingMs], [false, 0]);
  assert.deepEqual([lock.fencingToken, lock.sessionId], [fencingToken, sessionId], "they stay");
  assert.equal(await row(lock), null);
});

test("a lock shows itself without a secret", async () => {
  const lock = new ConsulLock(someKey("shown"), { value: "s3cret" });
  const shown = (state, token) =>
    `ConsulLock { key: '${lock.key}', state: '${state}', fencingToken: ${token}n }`;
  const seen = () => inspect(lock, { breakLength: Infinity });
  assert.equal(seen(), shown("new", 0));
  await lock.acquire();
  assert.equal(seen(), shown("held", lock.fencingToken));
  assert.equal(inspect({ a: { b: { lock } } }, { depth: 1 }), "{ a: { b: [Object] } }");
  await lock.release();
  assert.equal(seen(), shown("over", lock.fencingToken));
});

test("the cause of an aborted wait's reason names the holder", async () => {
  const key = someKey("abort-cause");
  const held = new ConsulLock(key);
  await held.acquire();
  const ending = new AbortController();
  const waiting = new ConsulLock(key, forever);
  const waits = waiting.acquire({ signal: ending.signal });
  await inLine(waiting, 1);
  const reason = new Error("enough");
  ending.abort(reason);
  await assert.rejects(waits, (error) => error === reason);
  assert.equal(reason.cause.code, "ERR_CONSUL_LOCK_CANCELLED");
  assert.match(
    reason.cause.message,
    /the acquire was cancelled; seen last: this very process holds it/,
  );
  await held.release();
});

test("a refusal has the option's name as the caller wrote it", async () => {
  const refused = (options) => {
    try {
      return new ConsulLock("k", options) && null;
    } catch (error) {
      return error.message;
    }
  };
  const range = "must be 10 to 86400, is 5";
  assert.equal(refused({ lockTimeoutSeconds: 5 }), `option lockTimeoutSeconds: ${range}`);
  assert.equal(refused({ lock_timeout_seconds: 5 }), `option lock_timeout_seconds: ${range}`);
});

test("tryAcquire gives false for NOT_ACQUIRED, and for no other error", async () => {
  const key = someKey("try");
  const held = new ConsulLock(key);
  assert.equal(await held.tryAcquire(), true);
  assert.equal(await new ConsulLock(key).tryAcquire(), false);
  await assert.rejects(held.tryAcquire(), code("ALREADY_USED"));
  const client = new Client({ address: process.env.TEST_CONSUL_DEAD_ADDR });
  await assert.rejects(new ConsulLock(key, { client }).tryAcquire(), code("UNAVAILABLE"));
  await held.release();
});

test("an error has its message, its details and the stack of the await", async () => {
  const key = someKey("error");
  const held = new ConsulLock(key);
  await held.acquire();
  const error = await new ConsulLock(key).acquire().catch((it) => it);
  assert.ok(error instanceof ConsulLockError && error instanceof Error);
  assert.deepEqual([error.name, error.status, error.retryable], ["ConsulLockError", 20, true]);
  assert.match(error.message, /this very process holds it/);
  assert.match(error.stack, /^ConsulLockError: .*\n.*ConsulLock\.acquire.*\n.*lock\.test\.mjs/);
  assert.ok(!("httpStatus" in error) && !("cause" in error));
  await held.release();

  const stranger = new Client({
    address: process.env.TEST_CONSUL_ACL_ADDR,
    token: "no-such-token",
  });
  const denied = await new ConsulLock(key, { client: stranger }).acquire().catch((it) => it);
  assert.deepEqual([denied.code, denied.httpStatus], ["ERR_CONSUL_LOCK_DENIED", 403]);
  assert.equal(denied.retryable, false);
});

test("options are taken in camel case and by their own name", async () => {
  const key = someKey("options");
  const lock = new ConsulLock(key, {
    lock_timeout_seconds: 50n,
    autoRenew: true,
    acquireTimeoutMs: undefined,
    value: new Uint8Array([0, 255, 1]),
  });
  await lock.acquire();
  assert.ok(lock.remainingMs > 40_000 && lock.remainingMs <= 50_000);
  assert.equal((await row(lock)).Value, Buffer.from([0, 255, 1]).toString("base64"));
  await lock.release();
});

test("a refusal has the option's name and range, and never a secret", () => {
  const key = someKey("refused");
  const refused = (options, message) =>
    assert.throws(() => new ConsulLock(key, options), { ...code("INVALID_OPTION"), message });
  refused({ lockTimeoutSeconds: 9 }, /lockTimeoutSeconds.*10 to 86400/);
  refused({ lockTimeoutSecond: 30 }, /lock_timeout_seconds/);
  refused({ acquireTimeoutMs: 1.5 }, /acquireTimeoutMs/);
  refused({ acquireTimeoutMs: NaN }, /acquireTimeoutMs/);
  refused({ acquireTimeoutMs: -Infinity }, /acquireTimeoutMs/);
  refused({ lockTimeoutSeconds: Infinity }, /lockTimeoutSeconds/);
  refused({ lockTimeoutSeconds: 2n ** 70n }, /lockTimeoutSeconds/);
  refused({ acquireTimeoutMs: null }, /option "acquireTimeoutMs" must be a number.*, not null/);
  refused({ autoRenew: [{}] }, /an item of option "auto_renew" must be text, not object/);
  refused({ autoRenew: {} }, /option "autoRenew" must be a number, a boolean or text, not object/);
  refused({ value: 5 }, /option "value" must be text or a Uint8Array, not number/);
  refused({ "fair\0": true }, /NUL/);
  refused({ fair: "true\0" }, /option "fair" contains a NUL/);
  refused({ signal: new AbortController().signal }, /signal/);
  for (const client of [null, {}, "client"]) {
    const wrong = { ...code("INVALID_ARGUMENT"), message: /client/ };
    assert.throws(() => new ConsulLock(key, { client }), wrong);
  }
  const secret = (error) => error instanceof ConsulLockError && !error.message.includes("secret");
  assert.throws(() => new Client({ token: "secret\0" }), secret);
  assert.throws(() => new ConsulLock(key, { token: "secret" }), secret);
});

test("a key is text that C can take", () => {
  const refused = (key, message) =>
    assert.throws(() => new ConsulLock(key), { ...code("INVALID_ARGUMENT"), message });
  refused(undefined, /key must be text, not undefined/);
  refused(5, /key must be text, not number/);
  refused("a\0b", /NUL/);
  refused("a\ud800", /well-formed/);
  refused("", /empty/);
  assert.equal(new ConsulLock("ä/日本/𝄞").key, "locks/ephemeral/ä/日本/𝄞");
});

test("arguments that are no functions or signals are TypeErrors", async () => {
  const lock = new ConsulLock(someKey("types"));
  await assert.rejects(lock.acquire({ signal: "signal" }), TypeError);
  await assert.rejects(lock.acquire(AbortSignal.abort()), TypeError, "it would never end the wait");
  await assert.rejects(lock.tryAcquire({ acquireTimeoutMs: 5 }), TypeError, "it would not wait");
  await assert.rejects(hold(lock.key, {}), TypeError);
  await assert.rejects(hold(lock.key, assert.fail, { autoRenew: true }), TypeError);
  const ignored = [
    "fair",
    new Map([["fair", false]]),
    new Client(),
    Object.create({ fair: false }),
  ];
  for (const options of ignored) {
    assert.throws(() => new ConsulLock(lock.key, options), TypeError);
    assert.throws(() => new Client(options), TypeError);
    await assert.rejects(hold(lock.key, options, assert.fail), TypeError);
    await assert.rejects(holder(lock.key, options), TypeError);
  }
  assert.throws(() => lock.onLost(), TypeError);
  assert.throws(() => setLogger("log"), TypeError);
  assert.throws(() => setLogger(() => {}, { level: "loud" }), code("INVALID_ARGUMENT"));
  await assert.rejects(lock.putIfHeld("key", 5), code("INVALID_ARGUMENT"));
  await lock.acquire();
  await lock.release();
});

test("a long key is not cut off", () => {
  const key = "k".repeat(20_000);
  assert.equal(new ConsulLock(key).key, `locks/ephemeral/${key}`);
});

test("a key has 60000 bytes at most, when percent-encoded", () => {
  const room = 60_000 - "locks/ephemeral/".length;
  const tooLong = { ...code("INVALID_ARGUMENT"), message: /60,?000/ };
  for (const [letter, bytes] of Object.entries({ k: 1, "+": 3, ä: 6, 日: 9 })) {
    new ConsulLock(letter.repeat(room / bytes));
    assert.throws(() => new ConsulLock(letter.repeat(room / bytes + 1)), tooLong);
  }
});

test("a signal that is aborted before the acquire changes nothing", async () => {
  const lock = new ConsulLock(someKey("aborted-before"));
  const reason = new Error("not now");
  await assert.rejects(lock.acquire({ signal: AbortSignal.abort(reason) }), (it) => it === reason);
  assert.equal(await lock.tryAcquire(), true, "it is not used up");
  await lock.release();
});

test("a signal ends a wait, with its reason, and leaves nothing behind", async () => {
  const key = someKey("aborted");
  const held = new ConsulLock(key);
  await held.acquire();
  const controller = new AbortController();
  const waiting = new ConsulLock(key, forever);
  const ended = waiting.acquire(controller);
  await inLine(waiting, 1);
  const begun = performance.now();
  const reason = { it: "is enough" };
  controller.abort(reason);
  await assert.rejects(ended, (it) => it === reason);
  assert.ok(performance.now() - begun < 3000);
  await inLine(waiting, 0);
  await assert.rejects(waiting.acquire(), code("ALREADY_USED"));
  await held.release();
});

test("one signal ends any number of waits, and Node sees no leak in them", async () => {
  const key = someKey("shared");
  const warnings = [];
  const warned = (warning) => warnings.push(warning.name);
  process.on("warning", warned);
  const controller = new AbortController();
  const ended = [];
  await hold(key, controller, async ({ lock }) => {
    for (let i = 0; i < 30; i++) {
      ended.push(hold(key, { ...forever, signal: controller.signal }, assert.fail));
    }
    await inLine(lock, 1);
    controller.abort();
    for (const each of ended) {
      await assert.rejects(each, { name: "AbortError" });
    }
  });
  process.off("warning", warned);
  assert.deepEqual(warnings, []);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("AbortSignal.timeout gives its TimeoutError", async () => {
  const key = someKey("timeout");
  const held = new ConsulLock(key);
  await held.acquire();
  const waiting = new ConsulLock(key, forever);
  const keepsAlive = setTimeout(() => {}, 5000); // the timer of AbortSignal.timeout does not
  await assert.rejects(waiting.tryAcquire({ signal: AbortSignal.timeout(300) }), {
    name: "TimeoutError",
  });
  clearTimeout(keepsAlive);
  await held.release();
});

test("an abort at any moment of an acquire never leaves a lock behind", async () => {
  const key = someKey("any-moment");
  let won = 0;
  for (let i = 0; i < 60; i++) {
    const lock = new ConsulLock(key);
    const controller = new AbortController();
    const ended = lock.acquire(controller).then(
      () => true,
      (error) => assert.equal(error.name, "AbortError"),
    );
    // From before the request is sent until after the answer is there.
    const until = performance.now() + (i % 20) / 20;
    while (performance.now() < until);
    if (i % 3 === 0) {
      await null;
    }
    controller.abort();
    if (await ended) {
      won++;
      assert.equal(await lock.release(), true);
    }
    assert.equal(lock.isHeld, false);
    const next = new ConsulLock(key, { acquireTimeoutMs: 5000 });
    assert.equal(await next.tryAcquire(), true, "the lock that was acquired too late is released");
    await next.release();
  }
  assert.ok(won < 60, "some were aborted");
});

test("an acquire that succeeded before the abort is released", async () => {
  const lock = new ConsulLock(someKey("won"));
  const controller = new AbortController();
  const ended = lock.acquire(controller);
  const begun = performance.now();
  while (!lock.isHeld && performance.now() - begun < 10_000); // and this thread has not looked yet
  controller.abort();
  await assert.rejects(ended, { name: "AbortError" });
  assert.notEqual(lock.fencingToken, 0n, "it had been won");
  assert.equal(await row(lock), null);
});

test("a second acquire, and its signal, do not disturb the first", async () => {
  const key = someKey("second");
  const lock = new ConsulLock(key, forever);
  const second = () => {
    const controller = new AbortController();
    const refused = assert.rejects(lock.acquire(controller), code("ALREADY_USED"));
    controller.abort();
    return refused;
  };
  const held = new ConsulLock(key);
  await held.acquire();
  const first = lock.acquire();
  await second();
  await inLine(lock, 1);
  await second();
  await held.release();
  await first;
  await second();
  assert.ok(lock.isHeld);
  await lock.release();
  await second();
});

test("an acquire is not fulfilled after a release, a close or an abandon during it", async () => {
  const ends = {
    release: async (lock) => assert.equal(await lock.release(), true),
    close: (lock) => lock.close(),
    abandon: (lock) => lock.abandon(),
    "release and abandon": async (lock) => {
      lock.release().catch(() => {});
      lock.abandon();
    },
  };
  for (const [name, end] of Object.entries(ends)) {
    const lock = new ConsulLock(someKey("given-up"));
    const ended = assert.rejects(lock.acquire(), code("CANCELLED"), name);
    const begun = performance.now();
    while (!lock.isHeld && performance.now() - begun < 10_000); // and this thread has not looked yet
    await end(lock);
    assert.equal(lock.isHeld, false);
    await ended;
    assert.notEqual(lock.fencingToken, 0n, "it had been won");
    await assert.rejects(lock.acquire(), code("ALREADY_USED"));
    await removeKeyOf(lock);
  }
});

test("a release before the acquire changes nothing", async () => {
  const lock = new ConsulLock(someKey("release-before"));
  const released = lock.release();
  await lock.acquire();
  assert.equal(await released, false);
  assert.ok(lock.isHeld);
  assert.equal(await lock.release(), true);
});

test("cancel is sticky, and does nothing to a held lock", async () => {
  const lock = new ConsulLock(someKey("cancel"));
  lock.cancel();
  await assert.rejects(lock.acquire(), code("CANCELLED"));
  const held = new ConsulLock(someKey("cancel"));
  await held.acquire();
  held.cancel();
  await held.check();
  await held.release();
  held.cancel();
});

test("hold gives the block's value, or the block's error", async () => {
  const key = someKey("hold");
  const result = await hold(key, { lockTimeoutSeconds: 20 }, async (held) => {
    assert.deepEqual(Object.keys(held).sort(), ["fencingToken", "lock", "signal", "slot"]);
    assert.equal(held.fencingToken, held.lock.fencingToken);
    assert.equal(held.signal.aborted, false);
    assert.ok(held.lock.isHeld);
    return { it: "worked" };
  });
  assert.deepEqual(result, { it: "worked" });
  const own = new Error("own");
  await assert.rejects(
    hold(key, () => {
      throw own;
    }),
    (it) => it === own,
  );
  assert.equal(await holder(key), null);
});

test("the signal of a hold reports a loss", async () => {
  const ended = hold(someKey("hold-lost"), async ({ signal, lock }) => {
    await removeKeyOf(lock);
    const told = assert.rejects(sleep(20_000, undefined, { signal }), { name: "AbortError" });
    await assert.rejects(lock.check(), code("LOST"));
    await told;
    assert.equal(signal.reason.lostReason, "KEY_GONE");
    throw signal.reason;
  });
  await assert.rejects(ended, { ...code("LOST"), lostReason: "KEY_GONE", message: /key is gone/ });
});

test("hold is rejected with LOST when only the release finds the loss", async () => {
  let ran = false;
  const ended = hold(someKey("hold-lost"), { monitor: false }, async ({ lock }) => {
    await removeKeyOf(lock);
    ran = true;
  });
  await assert.rejects(ended, code("LOST"));
  assert.ok(ran);
});

test("the caller's signal ends the wait of a hold, and aborts the block's signal", async () => {
  const key = someKey("hold-signal");
  const controller = new AbortController();
  const begun = hold(key, { signal: controller.signal }, async ({ signal }) => {
    const waits = hold(key, { ...forever, signal: controller.signal }, () => assert.fail("it ran"));
    setTimeout(() => controller.abort(new Error("enough")), 200);
    await assert.rejects(waits, /enough/);
    assert.ok(signal.aborted);
    assert.equal(signal.reason.message, "enough");
    return "it is the block that decides";
  });
  assert.equal(await begun, "it is the block that decides");
  assert.equal(await holder(key), null);
});

test("await using releases, and reports a loss", async () => {
  const lock = new ConsulLock(someKey("using"));
  await lock.acquire();
  await lock[Symbol.asyncDispose]();
  assert.equal(await row(lock), null);
  await lock[Symbol.asyncDispose]();
  const lost = new ConsulLock(someKey("using"));
  await lost.acquire();
  await removeKeyOf(lost);
  await assert.rejects(lost[Symbol.asyncDispose](), code("LOST"));
  await new ConsulLock(someKey("using"))[Symbol.asyncDispose]();
});

test("close ends a lock in any state, and is never rejected", async () => {
  const key = someKey("close");
  const held = new ConsulLock(key);
  await held.acquire();
  const waiting = new ConsulLock(key, forever);
  const ended = assert.rejects(waiting.acquire(), code("CANCELLED"));
  await waiting.close();
  await ended;
  await removeKeyOf(held);
  await held.close();
  await held.close();
  const fresh = new ConsulLock(key);
  await fresh.close();
  await assert.rejects(fresh.acquire(), code("ALREADY_USED"));
  const closing = new ConsulLock(someKey("close"));
  const closed = closing.close();
  await assert.rejects(closing.acquire(), code("CANCELLED"));
  await closed;
  assert.equal(await row(closing), null);
});

test("an abandoned lock stays in Consul, and is over here", async () => {
  const lock = new ConsulLock(someKey("abandon"));
  await lock.acquire();
  lock.abandon();
  lock.abandon();
  assert.equal(lock.isHeld, false);
  assert.equal((await row(lock)).Session, lock.sessionId);
  assert.equal(await lock.release(), false);
  await assert.rejects(lock.renew(), code("NOT_HELD"));
  await removeKeyOf(lock);
});

test("a listener is called once for a loss, in the context in which it was added", async () => {
  const lock = new ConsulLock(someKey("listeners"));
  const storage = new AsyncLocalStorage();
  const told = [];
  await lock.acquire();
  storage.run("ours", () => lock.onLost((error) => told.push([error, storage.getStore()])));
  lock.onLost(() => told.push("second"));
  lock.signal.addEventListener("abort", () => told.push("third"));
  await removeKeyOf(lock);
  await assert.rejects(lock.check(), code("LOST"));
  await until(() => told.length === 3);
  assert.ok(told[0][0] instanceof ConsulLockError);
  assert.deepEqual([told[0][0].lostReason, told[0][1]], ["KEY_GONE", "ours"]);
  assert.equal(lock.signal.reason, told[0][0]);
  await assert.rejects(lock.release(), code("LOST"));
  let late = null;
  lock.onLost((error) => (late = error));
  await until(() => late === told[0][0]);
  assert.equal(told.length, 3);
});

test("a loss that the release found reaches the listeners added before and afterwards", async () => {
  const [before, after] = [new ConsulLock(someKey("late")), new ConsulLock(someKey("late"))];
  let told = null;
  before.onLost((error) => (told = error));
  for (const lock of [before, after]) {
    await lock.acquire();
    await removeKeyOf(lock);
    await assert.rejects(lock.release(), code("LOST"));
    assert.equal(await lock.release(), false, "LOST is said once");
  }
  await until(() => told !== null);
  assert.equal(told.lostReason, "KEY_GONE");
  assert.ok(after.signal.aborted);
  assert.equal(after.signal.reason.code, "ERR_CONSUL_LOCK_LOST");
});

test("guarded writes take text and bytes", async () => {
  const lock = new ConsulLock(someKey("write"));
  await lock.acquire();
  const key = someKey("data");
  const stored = async () => (await row({ key })).Value;
  await lock.putIfHeld(key, "ä");
  assert.equal(await stored(), Buffer.from("ä").toString("base64"));
  await lock.putIfHeld(key, new Uint8Array([0, 1]));
  assert.equal(await stored(), "AAE=");
  await lock.putIfHeld(key, Buffer.alloc(300_000, 7));
  assert.equal(Buffer.from(await stored(), "base64").length, 300_000);
  await lock.deleteIfHeld(key);
  assert.equal(await row({ key }), null);
  await lock.release();
});

test("holder gives all fields, with a value of any bytes", async () => {
  const key = someKey("holder");
  assert.equal(await holder(key), null);
  const value = Buffer.alloc(100_000, "value\0");
  const lock = new ConsulLock(key, { value });
  await lock.acquire();
  const client = new Client();
  for (const found of [await holder(key), await client.holder(key)]) {
    assert.equal(found.session, lock.sessionId);
    assert.match(found.name, new RegExp(`:${process.pid} `));
    assert.equal(found.node, "node");
    assert.ok(found.value.equals(value));
    assert.equal(found.fencingToken, lock.fencingToken);
    assert.equal(found.since, null);
    assert.equal(found.ttlMs, 180_000);
  }
  await lock.release();
  const before = Date.now();
  await hold(key, async () => {
    const { since } = await holder(key); // "locked_at" of the default value
    assert.ok(since >= before - 1000 && since <= Date.now(), `${since}`);
  });
  await assert.rejects(holder("a//b"), code("INVALID_ARGUMENT"));
});

test("a client is closed once, and its locks go on", async () => {
  const client = new Client({ address: AGENT });
  const lock = new ConsulLock(someKey("client"), { client });
  client.close();
  client.close();
  await lock.acquire();
  await lock.release();
  assert.throws(() => client.stats(), code("INVALID_ARGUMENT"));
  await assert.rejects(client.holder("key"), code("INVALID_ARGUMENT"));
  assert.throws(() => new ConsulLock("key", { client }), code("INVALID_ARGUMENT"));
});

test("of several addresses, as an array or with commas, a dead one comes last", async () => {
  const addresses = [process.env.TEST_CONSUL_DEAD_ADDR, AGENT];
  for (const address of [addresses, addresses.join(",")]) {
    const client = new Client({ address });
    assert.equal(await hold(someKey("addresses"), { client }, () => 7), 7);
  }
});

test("the options of a client for sessions and keys reach Consul", async () => {
  const settings = { sessionName: "the job", lockDelayMs: 1500, sessionChecks: ["serfHealth"] };
  const client = new Client({ ...settings, flags: 2n ** 63n - 1n });
  await hold(someKey("settings"), { client }, async ({ lock }) => {
    const [session] = await consul("GET", `session/info/${lock.sessionId}`);
    assert.match(session.Name, /^the job /);
    assert.equal(session.LockDelay, 1.5e9);
    assert.deepEqual(session.NodeChecks, ["serfHealth"]);
    const answer = await fetch(`http://${AGENT}/v1/kv/${lock.key}`);
    assert.match(await answer.text(), /"Flags":\s*9223372036854775807,/);
  });
  await hold(
    someKey("node"),
    { client: new Client({ sessionNode: "of-no-agent" }) },
    async ({ lock }) => {
      const [session] = await consul("GET", `session/info/${lock.sessionId}`);
      assert.equal(session.Node, "of-no-agent");
    },
  );
  const inexact = { ...code("INVALID_OPTION"), message: /"flags".*BigInt/ };
  assert.throws(() => new Client({ flags: 2 ** 60 }), inexact);
});

test("the library reads a token file, and a refusal of a file names its option", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "consul-lock-token-"));
  try {
    const tokenFile = path.join(folder, "token");
    writeFileSync(tokenFile, "root\n");
    const client = new Client({ address: process.env.TEST_CONSUL_ACL_ADDR, tokenFile });
    assert.equal(await hold(someKey("token"), { client }, () => 7), 7);
  } finally {
    rmSync(folder, { recursive: true });
  }
  for (const name of ["tokenFile", "caFile", "caPath"]) {
    const wrong = { ...code("INVALID_OPTION"), message: new RegExp(`^option ${name}: `) };
    const options = { address: "https://127.0.0.1:1", [name]: `${folder}/nothing` };
    assert.throws(() => new Client(options), wrong);
  }
  const alone = { ...code("INVALID_OPTION"), message: /client_key/ };
  assert.throws(() => new Client({ ssl: true, clientCert: "/dev/null" }), alone);
});

test("a server without TLS ends a wait, with a message that says so", async () => {
  const client = new Client({ address: AGENT, ssl: true });
  const lock = new ConsulLock(someKey("tls"), { ...forever, client });
  const refused = { ...code("UNAVAILABLE"), retryable: false, message: /TLS/ };
  await assert.rejects(lock.acquire(), refused);
});

test("statistics are an object", async () => {
  const client = new Client();
  const lock = new ConsulLock(someKey("stats"), { client });
  await lock.acquire();
  assert.equal(client.stats().held, 1);
  assert.equal(client.stats().acquire_us.count, 1);
  await lock.release();
  assert.equal(typeof stats().raft_writes, "number");
});

test("stats throws the reason why the library cannot make the default client", async () => {
  const { stdout } = await run(
    `import { stats } from "consul-lock";
    try { stats(); } catch (error) { console.log(error.code); }`,
    { env: { CONSUL_HTTP_ADDR: "no address" } },
  );
  assert.equal(stdout, "ERR_CONSUL_LOCK_INVALID_ENVIRONMENT\n");
});

test("a value generator runs in the acquire, and its exception is the cause", async () => {
  const { status, stderr } = await run(`
    import assert from "node:assert/strict";
    import { ConsulLock, holder, setValueGenerator } from "consul-lock";
    let calls = 0;
    setValueGenerator(() => new Uint8Array([++calls]));
    const lock = new ConsulLock("${someKey("generator")}");
    assert.equal(calls, 0);
    const ended = lock.acquire();
    assert.equal(calls, 1, "on this thread, at once");
    await ended;
    assert.deepEqual([...(await holder(lock.key.replace("locks/ephemeral/", ""))).value], [1]);
    setValueGenerator(() => { throw new RangeError("why"); });
    const failing = new ConsulLock("${someKey("generator")}");
    await assert.rejects(failing.acquire(), (error) =>
      error.code === "ERR_CONSUL_LOCK_VALUE_FAILED" && error.cause instanceof RangeError);
    for (const value of [undefined, 5, Promise.resolve("late"), "x".repeat(390_001)]) {
      setValueGenerator(() => value);
      const other = new ConsulLock("${someKey("generator")}");
      await assert.rejects(other.acquire(), { code: "ERR_CONSUL_LOCK_VALUE_FAILED" });
      await assert.rejects(other.acquire(), { code: "ERR_CONSUL_LOCK_VALUE_FAILED" }, "not used up");
    }
    setValueGenerator(null);
    assert.throws(() => setValueGenerator("text"), TypeError);
    await new ConsulLock("${someKey("generator")}").acquire();
  `);
  assert.equal(status, 0, stderr);
});

test("a value generator may do anything to its lock", async () => {
  const { status, stderr } = await run(`
    import assert from "node:assert/strict";
    import { ConsulLock, hold, setValueGenerator } from "consul-lock";
    const key = "${someKey("generator")}";
    for (const end of ["abandon", "close", "cancel"]) {
      let lock;
      setValueGenerator(() => {
        lock[end]();
        return "value";
      });
      const code = "ERR_CONSUL_LOCK_" + (end === "abandon" ? "ALREADY_USED" : "CANCELLED");
      for (let i = 0; i < 20; i++) {
        lock = new ConsulLock(key);
        await assert.rejects(lock.acquire(), { code });
        await lock.close();
      }
    }
    setValueGenerator(null);
    await hold(key, async () => {
      const controller = new AbortController();
      setValueGenerator(() => {
        controller.abort(new Error("enough"));
        return "value";
      });
      const lock = new ConsulLock(key, { acquireTimeoutMs: 10_000 });
      await assert.rejects(lock.acquire(controller), /enough/);
    });
  `);
  assert.equal(status, 0, stderr);
});

test("a logger gets lines with their levels, until another replaces it", async () => {
  const { status, stderr } = await run(`
    import assert from "node:assert/strict";
    import { setTimeout as sleep } from "node:timers/promises";
    import { ConsulLock, setLogger } from "consul-lock";
    const until = async (is) => { while (!is()) await sleep(10); };
    const lose = async () => {
      const lock = new ConsulLock("${someKey("logger")}", { monitor: false });
      await lock.acquire();
      await fetch("http://${AGENT}/v1/kv/" + lock.key, { method: "DELETE" });
      await assert.rejects(lock.check());
    };
    const lines = [], errors = [], last = [];
    setLogger((...line) => lines.push(line));
    await lose();
    await until(() => lines.some(([level, line]) => level === "error" && /lost/.test(line)));
    await until(() => lines.some(([level]) => level === "info"));
    setLogger((level) => errors.push(level), { level: "error" });
    const before = lines.length;
    await lose();
    await until(() => errors.length > 0);
    setLogger(null);
    await lose();
    setLogger((level) => last.push(level));
    await lose();
    await until(() => last.includes("error")); // earlier lines have come before this one
    assert.deepEqual([errors, lines.length], [["error"], before]);
  `);
  assert.equal(status, 0, stderr);
});
