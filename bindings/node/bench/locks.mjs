// Acquires and releases a lock as its input says: benches/peers/README.md has the contract. Several turns of one process
// run at once.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, ConsulLock, setDefault, setDefaultClient } from "consul-lock";

const [address, key] = process.argv.slice(2);
if (key === undefined) {
  console.error("usage: locks.mjs ADDRESS KEY");
  process.exit(2);
}
setDefaultClient(new Client({ address }));
setDefault("lockKeyPattern", "%s");
const patient = { acquireTimeoutMs: -1 };
const now = () => process.hrtime.bigint();

async function turns(name, holdMs, count) {
  for (let i = 0; i < count; i++) {
    const lock = new ConsulLock(key, patient);
    let begun = now();
    try {
      await lock.acquire();
    } catch (error) {
      console.log(`failed ${name} ${error.message}`);
      continue;
    }
    console.log(`acquired ${name} ${begun} ${now()}`);
    await sleep(holdMs);
    begun = now();
    await lock.release();
    console.log(`released ${name} ${begun} ${now()}`);
  }
}

async function cycles(count) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const begun = now();
    const lock = new ConsulLock(key, patient);
    await lock.acquire();
    await lock.release();
    times.push(now() - begun);
  }
  console.log(`cycles ${times.join(" ")}`);
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...numbers] = line.split(" ");
  if (word === "turns") {
    const [name, holdMs, count] = numbers.map(Number);
    turns(name, holdMs, count);
  } else if (word === "cycles") {
    await cycles(Number(numbers[0]));
  }
}
