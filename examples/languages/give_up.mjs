import { ConsulLock } from "consul-lock";

const lock = new ConsulLock("nightly-report", { acquireTimeoutMs: 2000 });
// is rejected when nobody knows
if (await lock.tryAcquire()) {
  console.log("making the report");
  await lock.release();
} else {
  console.log("somebody else makes it");
}
