// A thread that waits for a lock, holds it, and never ends by itself. With `upgrades` it also begins an upgrade.

import { parentPort, workerData } from "node:worker_threads";
import { ConsulLock } from "consul-lock";

const lock = new ConsulLock(workerData.key, workerData.options);
const ended = lock.acquire();
parentPort.postMessage("waits");
await ended;
parentPort.postMessage("held");
if (workerData.upgrades) {
  lock.upgrade({ timeoutMs: Infinity });
}
setInterval(() => {}, 1000);
