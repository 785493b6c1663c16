// The Consul that the package gives to the tests of its users.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { ConsulLock, hold } from "consul-lock";
import { Consul, startConsul } from "consul-lock/testing";
import { HERE, run, someKey, until } from "./support.mjs";

const isServed = (address) =>
  new Promise((resolve) => {
    const [host, port] = address.split(":");
    const socket = net.connect(Number(port), host);
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });

/** Takes a lock at a Consul, and gives it back. */
const takes = ({ client }, key = someKey("testing")) => hold(key, { client }, async () => key);

test("a Consul serves locks until its test ends", async (t) => {
  let consul;
  await t.test("inner", async (inner) => {
    consul = await startConsul(inner);
    assert.ok(consul instanceof Consul);
    assert.equal(consul.client, consul.client);
    await takes(consul);
    assert.ok(await isServed(consul.address));
  });
  assert.ok(!(await isServed(consul.address)));
  await consul.stop();
});

test("each Consul is another, and a scope ends one", async () => {
  let address;
  {
    const one = await startConsul();
    try {
      const key = someKey("another");
      await hold(key, { client: one.client }, async () => {
        const other = await startConsul();
        address = other.address;
        await takes(other, key);
        await other[Symbol.asyncDispose]();
        assert.ok(!(await isServed(address)));
      });
    } finally {
      await one.stop();
    }
  }
});

describe("a suite", () => {
  let consul;
  before(async () => (consul = await startConsul()));
  after(() => consul.stop());
  test("has one Consul", () => takes(consul));
  test("for all of its tests", () => takes(consul));
});

test("a real Consul", async (t) => {
  for (const real of [true, process.env.CONSUL_BIN]) {
    await takes(await startConsul(t, { real }));
  }
});

test("speed ends a lock soon", async (t) => {
  const { client } = await startConsul(t, { speed: 100 });
  const lock = new ConsulLock(someKey("speed"), { client, lockTimeoutSeconds: 20 });
  await lock.acquire();
  await until(() => !lock.isHeld, 15_000);
});

test("require and import give the same", () => {
  const required = createRequire(import.meta.url)("consul-lock/testing");
  assert.equal(required.startConsul, startConsul);
});

test("a Consul ends with a process that ends, fails or is killed, and keeps none alive", async () => {
  const begin = `
    import { startConsul } from "consul-lock/testing";
    const { address } = await startConsul();
    console.log(address);`;
  const ends = { "": 0, "process.exit(3)": 3, 'throw new Error("of the test")': 1 };
  for (const [end, status] of Object.entries(ends)) {
    const told = await run(`${begin}\n${end}`);
    assert.equal(told.status, status, told.stderr);
    await until(async () => !(await isServed(told.stdout.trim())));
  }
  const child = spawn(
    process.execPath,
    ["--input-type=module", "-e", `${begin}\nsetInterval(() => 0, 1000)`],
    {
      cwd: HERE,
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const [address] = await once(child.stdout.setEncoding("utf8"), "data");
  assert.ok(await isServed(address.trim()));
  child.kill("SIGKILL");
  await until(async () => !(await isServed(address.trim())));
});

test("what is wrong is said", async (t) => {
  const before = process.env.CONSUL_LOCK_COMMAND;
  t.after(() => (process.env.CONSUL_LOCK_COMMAND = before));
  const wrong = {
    "/nowhere/consul-lock":
      /^could not start \/nowhere\/consul-lock: .*ENOENT; install .*make install/,
    "/bin/echo": /^\/bin\/echo dev did not serve: dev/,
    "/bin/false": /^\/bin\/false dev did not serve/,
  };
  for (const [program, message] of Object.entries(wrong)) {
    process.env.CONSUL_LOCK_COMMAND = program;
    await assert.rejects(startConsul(t), { message });
  }
});
