// Slow ends: of leases, and of terminated threads.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { ConsulLock, hold } from "consul-lock";
import { inLine, row, someKey, until } from "./support.mjs";

/** A thread that waits for, or holds, a lock. */
function workerWith(key, options, upgrades = false) {
  const worker = new Worker(new URL("./worker.mjs", import.meta.url), {
    workerData: { key, options, upgrades },
  });
  const said = [];
  worker.on("message", (word) => said.push(word));
  return { worker, says: (word) => until(() => said.includes(word)) };
}

describe("ends", { concurrency: true }, () => {
  test("a listener gets a notice of the end of the lease", async () => {
    const lock = new ConsulLock(someKey("expires"), { lockTimeoutSeconds: 10 });
    await lock.acquire();
    let told = null;
    lock.onLost((error) => (told = error));
    await until(() => told !== null);
    assert.deepEqual([told.code, told.lostReason], ["ERR_CONSUL_LOCK_LOST", "EXPIRED"]);
    await assert.rejects(lock.release(), { code: "ERR_CONSUL_LOCK_LOST" });
  });

  test("the wait of a terminated worker does not delay the next waiter", async () => {
    const key = someKey("terminated");
    const held = new ConsulLock(key);
    await held.acquire();
    const { worker, says } = workerWith(key, { acquireTimeoutMs: -1, queueGraceMs: 60_000 });
    await says("waits");
    await inLine(held, 1);
    await worker.terminate();
    const next = new ConsulLock(key, { acquireTimeoutMs: 20_000 });
    const ended = next.acquire();
    await held.release();
    await ended;
    assert.ok(await next.release());
  });

  test("the library stops the renewals of a terminated worker's lock", async () => {
    const key = someKey("orphan");
    const { worker, says } = workerWith(key, { lockTimeoutSeconds: 10, autoRenew: true });
    await says("held");
    await worker.terminate();
    const at = { key: `locks/ephemeral/${key}` };
    assert.ok(await row(at), "as a crashed holder's, it stays until its TTL");
    await until(async () => (await row(at)) === null, 40_000); // Consul may take twice the TTL
  });

  test("the upgrade of a terminated worker ends with its TTL, and others share the key again", async () => {
    const key = someKey("orphan-upgrade");
    const other = new ConsulLock(key, { share: true, autoRenew: true });
    await other.acquire();
    const options = { share: true, lockTimeoutSeconds: 10, autoRenew: true };
    const { worker } = workerWith(key, options, true);
    const at = { key: `locks/ephemeral/${key}` };
    await until(async () => (await row(at)) !== null);
    await worker.terminate();
    assert.equal(await new ConsulLock(key, { share: true }).tryAcquire(), false);
    await until(async () => (await row(at)) === null, 40_000); // Consul may take twice the TTL
    await other.check();
    await hold(key, { share: true }, () => {});
    await other.release();
  });
});
