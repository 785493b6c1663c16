// The contract of ../README.md, for what takes and gives back a lock.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const now = () => process.hrtime.bigint();

// `connect(host, port, key)` gives a function that takes the lock and gives a function that
// gives it back.
export async function obey(connect) {
  const [address, key] = process.argv.slice(2);
  const [host, port] = address.split(":");
  const acquire = connect(host, port, key);
  console.log("ready");
  for await (const line of createInterface({ input: process.stdin })) {
    const [word, ...numbers] = line.split(" ");
    if (word === "turns") {
      const [name, hold, count] = numbers.map(Number);
      for (let i = 0; i < count; i++) await turn(acquire, name, hold);
    } else if (word === "cycles") {
      const times = [];
      for (let i = 0; i < Number(numbers[0]); i++) {
        const begun = now();
        const release = await acquire();
        await release();
        times.push(now() - begun);
      }
      console.log("cycles", times.join(" "));
    }
  }
  process.exit(0);
}

async function turn(acquire, name, hold) {
  let begun = now();
  let release;
  try {
    release = await acquire();
  } catch (error) {
    console.log("failed", name, error.message);
    return;
  }
  console.log("acquired", name, `${begun}`, `${now()}`);
  await sleep(hold);
  begun = now();
  await release();
  console.log("released", name, `${begun}`, `${now()}`);
}
