import { ConsulLock } from "consul-lock";

const lock = new ConsulLock("nightly-report", { acquireTimeoutMs: 2000 });
// rejects when Consul gave no usable answer, or refused
if (await lock.tryAcquire()) {
  console.log("making the report");
  await lock.release();
} else {
  console.log("another process makes it");
}
