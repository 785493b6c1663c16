// A thread that waits for a lock, holds it, and never ends by itself.

import { parentPort, workerData } from "node:worker_threads";
import { ConsulLock } from "consul-lock";

const lock = new ConsulLock(workerData.key, workerData.options);
const ended = lock.acquire();
parentPort.postMessage("waits");
await ended;
parentPort.postMessage("held");
setInterval(() => {}, 1000);
