// Waits for two seconds for whoever is making the report, and then does without.
import { ConsulLock } from "consul-lock";

const lock = new ConsulLock("nightly-report", { acquireTimeoutMs: 2000 });
if (await lock.tryAcquire()) {
  try {
    console.log("making the report");
  } finally {
    await lock.release();
  }
} else {
  console.log("somebody else makes it");
}
