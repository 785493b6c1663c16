// Locks that share a key, and locks on several keys, in JavaScript. The conformance suite tests the rules that all
// languages share.

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ConsulLock, hold, holders } from "consul-lock";
import { code, consul, inLine, removeKeyOf, row, someKey, until } from "./support.mjs";

/** An acquired lock. */
async function taken(key, options) {
  const lock = new ConsulLock(key, options);
  await lock.acquire();
  return lock;
}

/** Waits until a lock's key is held exclusively, as from the first moment of an upgrade. */
const gateOf = (lock) => until(async () => (await row(lock))?.Session !== undefined);

test("a hold shares its key with others, and not with an exclusive lock", async () => {
  const key = someKey("share");
  const result = await hold(key, { share: true }, () =>
    hold(key, { share: true }, async ({ lock, slot }) => {
      assert.deepEqual([lock.slot, slot], [null, null]);
      assert.equal(await new ConsulLock(key).tryAcquire(), false);
      return "both";
    }),
  );
  assert.equal(result, "both");
  await hold(key, async () => {
    assert.equal(await new ConsulLock(key, { share: true }).tryAcquire(), false);
  });
});

test("a limit alone shares the key, and gives each holder a slot", async () => {
  const key = someKey("limit");
  const slots = await hold(key, { limit: 2 }, ({ slot: first, lock }) =>
    hold(key, { limit: 2 }, async ({ slot: second }) => {
      assert.equal(lock.slot, first);
      assert.equal(await new ConsulLock(key, { limit: 2 }).tryAcquire(), false);
      return [first, second];
    }),
  );
  assert.deepEqual(slots.sort(), [0, 1]);
  const lock = await taken(key, { limit: 1 });
  assert.match(inspect(lock), /slot: 0/);
  await lock.release();
  assert.equal(lock.slot, 0, "it stays");
  assert.doesNotMatch(inspect(new ConsulLock(key, { limit: 1 })), /slot/);
});

test("an exclusive lock with a limit says so, and the limit is that of its downgrade", async () => {
  const key = someKey("downgrade-limit");
  for (const exclusive of [{ share: false }, { mode: "exclusive" }]) {
    const lock = await taken(key, { ...exclusive, limit: 2 });
    assert.equal(lock.slot, null);
    assert.equal(await new ConsulLock(key, { limit: 2 }).tryAcquire(), false);
    await lock.downgrade();
    assert.ok([0, 1].includes(lock.slot));
    const other = await taken(key, { limit: 2 });
    assert.notEqual(other.slot, lock.slot);
    await other.release();
    await lock.release();
  }
});

test("a refusal has the option as the caller wrote it", () => {
  const refused = (key, options, message) =>
    assert.throws(() => new ConsulLock(key, options), { ...code("INVALID_OPTION"), message });
  refused("k", { share: "reader" }, /^option "share" must be true or false$/);
  refused("k", { share: null }, /option "share" must be a number, a boolean or text, not null/);
  refused("k", { share: true, mode: "share" }, /share and mode/);
  refused("k", { mode: "reader" }, /^option mode: .*exclusive.*share/);
  refused("k", { limit: 0 }, /^option limit: .*1 to 1024/);
  refused("k", { limit: 1.5 }, /^option limit/);
  refused(["a", "b"], { share: true }, /^option share: .*several keys/);
  refused(["a", "b"], { mode: "share" }, /^option mode: .*several keys/);
  refused(["a", "b"], { limit: 2 }, /^option share: .*several keys/);
});

test("another limit is CONFLICT, which is final and has both limits", async () => {
  const key = someKey("conflict");
  await hold(key, { limit: 37 }, async () => {
    const error = await new ConsulLock(key, { limit: 53 }).acquire().catch((it) => it);
    assert.deepEqual([error.code, error.status], ["ERR_CONSUL_LOCK_CONFLICT", 25]);
    assert.equal(error.retryable, false);
    assert.match(error.message, /37.*53|53.*37/);
    await assert.rejects(new ConsulLock(key, { limit: 53 }).tryAcquire(), code("CONFLICT"));
  });
});

test("a value is at most 512 bytes where its lock shares the key", async () => {
  const key = someKey("value");
  await hold(key, { share: true, value: "v".repeat(512) }, async () => {
    const { sharers } = await holders(key);
    assert.deepEqual(
      sharers.map(({ value }) => String(value)),
      ["v".repeat(512)],
    );
  });
  const long = { share: true, value: "v".repeat(513) };
  const refused = (error) => /512/.test(error.message) && /INVALID/.test(error.code);
  assert.throws(() => new ConsulLock(key, long), refused);
});

test("a downgrade and an upgrade change the token, and the lock goes on", async () => {
  const key = someKey("change");
  await hold(key, async ({ lock, fencingToken }) => {
    assert.equal(await lock.downgrade(), undefined);
    const shared = lock.fencingToken;
    assert.ok(shared > fencingToken);
    await hold(key, { share: true }, async () => {
      await assert.rejects(lock.upgrade(), code("NOT_ACQUIRED"));
      assert.ok(lock.isHeld);
      await lock.check();
    });
    assert.equal(await lock.upgrade(), undefined);
    assert.ok(lock.fencingToken > shared);
    await assert.rejects(lock.upgrade(), code("INVALID_ARGUMENT"));
    assert.equal(await new ConsulLock(key, { share: true }).tryAcquire(), false);
  });
  const over = new ConsulLock(key);
  await assert.rejects(over.downgrade(), code("NOT_HELD"));
  await assert.rejects(over.upgrade(), code("NOT_HELD"));
  over.abandon();
  await assert.rejects(over.downgrade(), code("NOT_HELD"));
  await assert.rejects(over.upgrade(), code("NOT_HELD"));
});

test("an upgrade waits for the others that share the key", async () => {
  const key = someKey("upgrade-waits");
  const [lock, other] = [await taken(key, { share: true }), await taken(key, { share: true })];
  const upgraded = lock.upgrade({ timeoutMs: 30_000 });
  await gateOf(lock);
  await assert.rejects(other.upgrade({ timeoutMs: 30_000 }), code("NOT_ACQUIRED"));
  assert.equal(await other.release(), true);
  await upgraded;
  assert.equal((await row(lock)).Session, lock.sessionId);
  await lock.release();
});

test("a signal ends the wait of an upgrade, with its reason, and the share stays", async () => {
  const key = someKey("upgrade-aborted");
  const [lock, other] = [await taken(key, { share: true }), await taken(key, { share: true })];
  const before = new Error("not now");
  const aborted = lock.upgrade({ signal: AbortSignal.abort(before) });
  await assert.rejects(aborted, (it) => it === before);
  for (const end of ["signal", "cancel"]) {
    const controller = new AbortController();
    const upgrade = lock.upgrade({ signal: controller.signal });
    await gateOf(lock);
    // A second upgrade is refused, and its signal does not end the first.
    const second = new AbortController();
    const refused = lock.upgrade({ signal: second.signal });
    second.abort();
    await assert.rejects(refused, code("INVALID_ARGUMENT"));
    assert.ok(await row(lock), "the first goes on");
    if (end === "signal") {
      const reason = new Error("enough");
      controller.abort(reason);
      await assert.rejects(upgrade, (it) => it === reason);
      assert.equal(reason.cause.code, "ERR_CONSUL_LOCK_CANCELLED");
    } else {
      lock.cancel();
      await assert.rejects(upgrade, code("CANCELLED"));
    }
    await lock.check();
    assert.equal(await row(lock), null, "the key is open to those that share it");
  }
  await hold(key, { share: true }, () => {});
  await other.release();
  await lock.upgrade();
  await lock.release();
});

test("an abort at any moment of an upgrade leaves a lock that is what the promise said", async () => {
  const key = someKey("any-moment");
  const ends = { exclusive: 0, share: 0 };
  for (let i = 0; i < 40; i++) {
    const lock = await taken(key, { share: true });
    const other = await taken(key, { share: true });
    const controller = new AbortController();
    const ended = lock.upgrade(controller).then(
      () => "exclusive",
      (error) => (assert.equal(error.name, "AbortError"), "share"),
    );
    // From before the request is sent until after the upgrade has succeeded.
    const released = sleep(2).then(() => other.release());
    await (i % 2 ? sleep(i / 4) : null);
    controller.abort();
    const is = await ended;
    ends[is]++;
    assert.ok(lock.isHeld);
    await released;
    const next = new ConsulLock(key, { share: true });
    assert.equal(await next.tryAcquire(), is === "share");
    await next.release();
    assert.equal(await lock.release(), true);
  }
  assert.ok(ends.exclusive > 0 && ends.share > 0, JSON.stringify(ends));
});

test("a release, a close or an abandon during an upgrade ends it", async () => {
  const ends = {
    release: async (lock) => assert.equal(await lock.release(), true),
    close: (lock) => lock.close(),
    abandon: (lock) => lock.abandon(),
  };
  for (const [name, end] of Object.entries(ends)) {
    const key = someKey("upgrade-ends");
    const [lock, other] = [await taken(key, { share: true }), await taken(key, { share: true })];
    const upgrade = lock.upgrade({ timeoutMs: Infinity });
    await gateOf(lock);
    const ended = assert.rejects(upgrade, ({ code }) =>
      ["ERR_CONSUL_LOCK_NOT_HELD", "ERR_CONSUL_LOCK_CANCELLED"].includes(code),
    );
    await end(lock);
    await ended;
    assert.equal(lock.isHeld, false, name);
    await removeKeyOf(lock);
    await other.release();
  }
});

test("the options of an upgrade are checked", async () => {
  const lock = await taken(someKey("upgrade-options"), { share: true });
  for (const timeoutMs of [1.5, NaN, "soon", 5n, 2 ** 60, -2, 86_400_001]) {
    const wrong = { ...code("INVALID_ARGUMENT"), message: /timeout/i };
    await assert.rejects(lock.upgrade({ timeoutMs }), wrong, String(timeoutMs));
  }
  await assert.rejects(lock.upgrade({ signal: "signal" }), TypeError);
  await assert.rejects(lock.upgrade(new AbortController().signal), TypeError);
  await assert.rejects(lock.upgrade({ acquireTimeoutMs: 5 }), TypeError);
  await lock.upgrade({ timeoutMs: -1 });
  await lock.release();
});

test("a loss reaches a lock that shares its key", async () => {
  const key = someKey("share-lost");
  const ended = hold(key, { share: true }, async ({ lock, signal }) => {
    await consul("PUT", `session/destroy/${lock.sessionId}`);
    await assert.rejects(lock.check(), code("LOST"));
    await until(() => signal.aborted);
    assert.equal(signal.reason.code, "ERR_CONSUL_LOCK_LOST");
    await assert.rejects(lock.upgrade(), code("LOST"));
    throw signal.reason;
  });
  await assert.rejects(ended, code("LOST"));
});

test("a lock on several keys has all or none", async () => {
  const key = someKey("several");
  const names = [`${key}/b`, `${key}/a`, `${key}/b`];
  const full = [`locks/ephemeral/${key}/a`, `locks/ephemeral/${key}/b`];
  const lock = new ConsulLock(names, { value: "both" });
  assert.deepEqual([lock.key, lock.keys], [full[0], full]);
  assert.throws(() => lock.keys.push("key"), TypeError);
  await lock.acquire();
  for (const each of full) {
    const { Session, Value } = await row({ key: each });
    assert.deepEqual([Session, Value], [lock.sessionId, Buffer.from("both").toString("base64")]);
  }
  const shown = inspect(lock, { breakLength: Infinity });
  assert.ok(shown.includes(`{ keys: [ '${full.join("', '")}' ], state: 'held'`), shown);
  const single = new ConsulLock(`${key}/b`, { acquireTimeoutMs: Infinity });
  const waits = single.acquire();
  await inLine(single, 1);
  await lock.release();
  await waits;
  assert.equal(await row({ key: full[0] }), null);
  await assert.rejects(hold(names, assert.fail), code("NOT_ACQUIRED"));
  assert.equal(await row({ key: full[0] }), null, "no part is taken");
  await single.release();
  assert.equal(await hold(names, ({ lock: { keys } }) => keys.length), 2);
});

test("an array of keys is checked", () => {
  const refused = (keys, message) =>
    assert.throws(() => new ConsulLock(keys), { ...code("INVALID_ARGUMENT"), message });
  refused([], /1 to 30/);
  refused(
    Array.from({ length: 31 }, (_, at) => `key-${at}`),
    /1 to 30/,
  );
  refused(["a", 5], /key must be text, not number/);
  refused([, "a"], /key must be text, not undefined/);
  refused(["a", "b\0"], /NUL/);
  refused(["a", "b/.share/c"], /\.share/);
  refused(new Set(["a"]), /key must be text, not object/);
  assert.equal(new ConsulLock(Array(100_000).fill("a")).keys.length, 1);
  assert.deepEqual(new ConsulLock(["a"]).keys, new ConsulLock("a").keys);
});
