import { setTimeout as sleep } from "node:timers/promises";
import { hold } from "consul-lock";

try {
  await hold("long-work", { autoRenew: true }, async ({ signal }) => {
    for (let step = 1; step <= 100 && !signal.aborted; step++) {
      console.log(`step ${step}`);
      await sleep(100);
    }
  });
} catch (error) {
  if (error.code !== "ERR_CONSUL_LOCK_LOST") throw error;
  console.log("lost: stopped");
}
