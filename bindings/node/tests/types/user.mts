// Compiled and run by package.test.mjs, as a user of the package.
import {
  Client,
  ConsulLock,
  ConsulLockError,
  hold,
  holder,
  holders,
  observe,
  setDefault,
  setDefaultClient,
  setLogger,
  setValueGenerator,
  shutdown,
  stats,
  version,
  type ErrorCode,
  type Holder,
  type Holders,
  type LockOptions,
  type LogLevel,
} from "consul-lock";
import { Consul, startConsul, type ConsulOptions } from "consul-lock/testing";
import type { TestContext } from "node:test";

const client: Client = new Client({ requestTimeoutMs: 5000, connect_timeout_ms: "1000" });
new Client({
  address: ["127.0.0.1:8500", "unix:///run/consul.sock"],
  ssl: false,
  flags: 5n,
}).close();
new Client({ address: "127.0.0.1:8500", session_checks: ["serfHealth"] }).close();
const options: LockOptions = {
  client,
  acquireTimeoutMs: Infinity,
  lockTimeoutSeconds: 30,
  value: new Uint8Array([1]),
  autoRenew: true,
  queue_grace_ms: 300n,
};
const { signal } = new AbortController();

async function everything(): Promise<number> {
  await using lock = new ConsulLock("types/everything", options);
  await lock.acquire({ signal });
  const again: boolean = await new ConsulLock("types/everything", { client }).tryAcquire();
  const token: bigint = lock.fencingToken;
  const texts: string[] = [lock.key, lock.sessionId, version];
  const left: number = lock.isHeld ? lock.remainingMs : 0;
  lock.onLost((error) => console.error(error.lostReason satisfies string | undefined));
  await lock.putIfHeld("types/data", Buffer.from("data"));
  await lock.deleteIfHeld("types/data");
  await lock.renew();
  await lock.check();
  const found: Holder | null = await holder("types/everything", { client });
  const value: Buffer | undefined = found?.value;
  const given: boolean = await lock.release();
  lock.cancel();
  lock.abandon();
  await lock.close();
  void [again, token, texts, left, value, given, stats().held, client.stats().acquire_us.p99];
  setDefault("lockTimeoutSeconds", 60);
  setDefaultClient(null);
  setValueGenerator(() => "value");
  setValueGenerator(null);
  setLogger((level: LogLevel, line: string) => void [level, line], { level: "debug" });
  setLogger(null);
  await shutdown({ timeoutMs: 1000 });
  const answer: number = await hold("types/hold", { ...options, signal }, async (held) =>
    held.signal.aborted || held.fencingToken === 0n || !held.lock.isHeld ? 0 : 42,
  );
  await hold("types/hold", () => {});
  await hold("types/shared", { limit: 3 }, async ({ slot, lock: shared }) => {
    const worker: number | null = slot;
    await shared.upgrade({ timeoutMs: 1000, signal });
    await shared.downgrade();
    void [worker, shared.slot];
  });
  const keys: readonly string[] = ["types/b", "types/a"];
  await hold(keys, async ({ lock: several }) => void several.keys.length);
  new ConsulLock(keys, { share: false, mode: undefined, limit: undefined });
  const all: Holders = await holders("types/everything", { client });
  void [all.exclusive?.name, all.sharers[0]?.slot, all.line[0]?.mode === "share"];
  await using observer = observe("types/everything", { client, signal });
  for await (const { holder: leader, error } of observer) {
    const said: string | undefined = error ? error.message : leader?.session;
    void [said, (await client.holders("types/everything")).key];
    break;
  }
  client.observe("types/everything").close();
  return answer;
}

try {
  console.log(await everything());
} catch (error) {
  const code: ErrorCode | null = error instanceof ConsulLockError ? error.code : null;
  console.log(code, error);
}

export async function tested(t: TestContext): Promise<void> {
  await using consul: Consul = await startConsul(t, { speed: 100 });
  const { real }: ConsulOptions = { real: "consul" };
  await hold("key", { client: consul.client }, async () =>
    startConsul(null, { real: real ?? true }),
  );
  // @ts-expect-error: no such option
  await startConsul(t, { port: 8500 });
  // @ts-expect-error: startConsul makes it
  new Consul();
}

export const later: LockOptions = { an_option_of_a_later_version: true };

export function mistakes(lock: ConsulLock): void {
  // @ts-expect-error: no such option
  new ConsulLock("key", { lockTimeoutSecond: 30 });
  // @ts-expect-error: an option of a client
  new ConsulLock("key", { address: "127.0.0.1:8500" });
  // @ts-expect-error: not a number
  new ConsulLock("key", { acquireTimeoutMs: "soon" });
  // @ts-expect-error: text and bytes only
  void lock.putIfHeld("key", 5);
  // @ts-expect-error: read only
  lock.fencingToken = 5n;
  // @ts-expect-error: no such mode
  new ConsulLock("key", { mode: "shared" });
  // @ts-expect-error: read only
  lock.keys.push("key");
  // @ts-expect-error: an option of a client
  void lock.upgrade({ requestTimeoutMs: 5 });
  // @ts-expect-error: a block is needed
  void hold("key", {});
  // @ts-expect-error: no such level
  setLogger(() => {}, { level: "loud" });
}
