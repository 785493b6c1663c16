// A worker of the chaos test over the Node package. README.md has its environment and its journal.
import { openSync, writeSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, ConsulLock, shutdown } from "../../../bindings/node/index.js";

const LOOPS = 3;
const { CHAOS_NAME: name, CHAOS_SESSION_NODE: node, CHAOS_ADDRESS: address } = process.env;
const journal = openSync(process.env.CHAOS_JOURNAL, "a");
// Node has no CLOCK_BOOTTIME. While no machine sleeps, its distance from CLOCK_MONOTONIC stays the same.
const bootLessMonotonic = BigInt(process.env.CHAOS_BOOT_LESS_MONOTONIC);
const now = () => process.hrtime.bigint() + bootLessMonotonic;
const over = new AbortController();
let holds = 0;

function note(event, values) {
  const line = Object.entries(values).map(([key, value]) => `${key}=${String(value).replaceAll("\n", " ")}`);
  writeSync(journal, `${[now(), event, ...line].join(" ")}\n`);
}

/** Numbers from a seed: mulberry32. */
function chances(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const statusOf = (error) => error?.code?.replace("ERR_CONSUL_LOCK_", "") ?? (error ? "UNKNOWN" : "OK");

/** Gives the status and the message of a call. */
async function outcome(call) {
  try {
    await call();
    return { status: "OK", said: "" };
  } catch (error) {
    return { status: error.name === "AbortError" ? "CANCELLED" : statusOf(error), said: error.message };
  }
}

function isHeld(lock, hold) {
  const before = now();
  const is = lock.isHeld;
  note("held", { hold, before, is: is ? "yes" : "no" });
  return is;
}

async function write(lock, hold, number) {
  const row = `chaos/data/${hold}.${number}`;
  note("write", { hold, row });
  const told = await outcome(() => lock.putIfHeld(row, `${hold} ${lock.fencingToken}`));
  note("written", { hold, row, ...told });
}

async function work(chance, lock, hold, length) {
  const end = now() + BigInt(length) * 1_000_000n;
  const most = 1 + chance(3);
  let writes = 1;
  let is = isHeld(lock, hold);
  await write(lock, hold, writes);
  while (is && now() < end) {
    await sleep(5 + chance(20));
    is = isHeld(lock, hold);
    if (writes < most && chance(4) === 0) {
      writes += 1;
      await write(lock, hold, writes);
    }
  }
  // One that comes late now and then.
  if (!is || chance(10) === 0) await write(lock, hold, writes + 1);
}

/** One lock, from its making to its end. */
async function turn(chance, client) {
  const timeout = chance(5) === 0 ? 0 : 1000 + chance(30_000);
  const a = chance(4);
  let keys = [`x${a}`];
  let mode = "exclusive";
  let limit = 0;
  const kind = chance(100);
  if (kind >= 87) {
    keys = [`p${a % 3}`, `p${((a % 3) + 1 + chance(2)) % 3}`];
  } else if (kind >= 75) {
    [keys, mode, limit] = [["slots"], "share", 2];
  } else if (kind >= 60) {
    [keys, mode] = [["readers"], chance(10) < 7 ? "share" : "exclusive"];
  } else if (kind < 8) {
    keys = [`p${a % 3}`];
  }
  const how = chance(100);
  const length = chance(how < 80 ? 200 : how < 96 ? 2000 : 15_000);
  const autoRenew = chance(2) === 0;
  holds += 1;
  const hold = `${name}-${holds}`;

  const options = { client, acquireTimeoutMs: timeout, lockTimeoutSeconds: 10, value: hold, autoRenew, mode };
  if (limit > 0) options.limit = limit;
  const lock = new ConsulLock(keys, options);
  let hear;
  const heard = new Promise((resolve) => (hear = resolve));
  lock.onLost((error) => {
    note("lost", { hold, reason: error.lostReason });
    hear();
  });
  note("acquire", { hold, keys: keys.join(","), mode, limit, timeout, renew: autoRenew ? "yes" : "no" });
  const told = await outcome(() => lock.acquire({ signal: over.signal }));
  const { status, said } = told;
  note("answer", {
    hold, status, token: lock.fencingToken, slot: lock.slot ?? -1, session: lock.sessionId, said,
  });
  if (status === "OK") {
    await work(chance, lock, hold, length);
    note("release", { hold });
    const released = await outcome(async () => {
      if (!(await lock.release())) throw Object.assign(new Error("not held"), { code: "NOT_HELD" });
    });
    note("released", { hold, ...released });
    // Without the notice, the checker misses it.
    if (released.status === "LOST") await Promise.race([heard, sleep(10_000, undefined, { ref: false })]);
  }
  await lock.close();
}

async function run(chance, client) {
  while (!over.signal.aborted) {
    await turn(chance, client);
    await sleep(chance(60));
  }
}

note("start", { worker: name, kind: "node", pid: process.pid, node });
const options = { address: address.split(","), sessionName: name };
if (node) options.sessionNode = node;
const client = new Client(options);
process.on("SIGTERM", () => over.abort());
const seed = Number(process.env.CHAOS_SEED) * LOOPS;
await Promise.all(Array.from({ length: LOOPS }, (_, n) => run(chances(seed + n), client)));
const { status } = await outcome(() => shutdown({ timeoutMs: 20_000 }));
note("end", { status });
client.close();
