// One of many servers leads: it waits for the lock without a limit, keeps the lock while it works, and stops at once
// when the lock is lost.
import { setTimeout as sleep } from "node:timers/promises";
import { hold } from "consul-lock";

const options = { acquireTimeoutMs: Infinity, lockTimeoutSeconds: 30, autoRenew: true };
await hold("leader", options, async ({ signal }) => {
  for (let step = 1; step <= 3; step++) {
    console.log(`step ${step}`);
    await sleep(100, undefined, { signal }); // stops when the lock is lost
  }
});
