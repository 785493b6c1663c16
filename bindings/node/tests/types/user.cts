// Compiled and run by package.test.mjs, as a user of the package.
import consulLock = require("consul-lock");
import testing = require("consul-lock/testing");

const { ConsulLock, ConsulLockError, hold } = consulLock;

async function main(): Promise<number> {
  const lock: consulLock.ConsulLock = new ConsulLock("types/cts", { acquireTimeoutMs: 1000 });
  await lock.acquire();
  await lock.release();
  return hold("types/cts", async ({ signal }: consulLock.Held) => (signal.aborted ? 0 : 42));
}

export const started: () => Promise<testing.Consul> = () => testing.startConsul();

main().then(console.log, (error: unknown) => {
  console.log(error instanceof ConsulLockError ? error.code : error);
});
