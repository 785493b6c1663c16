// Works for as long as it takes, in steps, and stops when the lock is lost.
import { setTimeout as sleep } from "node:timers/promises";
import { hold } from "consul-lock";

const options = { acquireTimeoutMs: Infinity, lockTimeoutSeconds: 30, autoRenew: true };
await hold("leader", options, async ({ signal }) => {
  for (let step = 1; step <= 3; step++) {
    console.log(`step ${step}`);
    await sleep(100, undefined, { signal }); // what takes a signal stops at once
    signal.throwIfAborted();
  }
});
