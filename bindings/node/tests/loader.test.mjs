// The package finds the native library. Each case runs in a new process, which has not loaded the library yet.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { HERE, run } from "./support.mjs";

const LIBRARY = path.resolve(process.env.CONSUL_LOCK_LIBRARY);
const folder = mkdtempSync(path.join(tmpdir(), "consul-lock-loader-"));
after(() => rmSync(folder, { recursive: true }));

const PRINT = `const { version } = await import("consul-lock"); console.log("loaded", version);`;

/** A copy of the package in another folder, as npm would install it. */
function somewhere(name) {
  const place = path.join(folder, name);
  mkdirSync(place);
  for (const part of ["package.json", "index.js", "index.cjs", "lib"]) {
    cpSync(path.join(HERE, part), path.join(place, part), { recursive: true });
  }
  return place;
}

function bundle(place, file) {
  const native = path.join(place, "native", `${process.platform}-${process.arch}`);
  mkdirSync(native, { recursive: true });
  copyFileSync(file, path.join(native, "libconsul_lock.so"));
}

function compile(name, source) {
  const file = path.join(folder, name);
  writeFileSync(`${file}.c`, source);
  execFileSync("cc", ["-shared", "-fPIC", "-o", file, `${file}.c`]);
  return file;
}

const OTHER_ABI = compile("other-abi.so", "unsigned consul_lock_abi_version(void) { return 999; }");

test("CONSUL_LOCK_LIBRARY comes first, and nothing else is tried", async () => {
  const place = somewhere("told");
  bundle(place, LIBRARY);
  const there = await run(PRINT, { cwd: place, env: { CONSUL_LOCK_LIBRARY: LIBRARY } });
  assert.match(there.stdout, /loaded/, there.stderr);
  const missing = path.join(folder, "not-there.so");
  const ended = await run(PRINT, { cwd: place, env: { CONSUL_LOCK_LIBRARY: missing } });
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /cannot load libconsul_lock; tried \S*not-there\.so: no such file\. /);
  assert.match(ended.stderr, /ERR_CONSUL_LOCK_LIBRARY/);
});

test("then comes the library in the package, then libconsul_lock.so.0.1, then the plain name", async () => {
  const place = somewhere("bundled");
  const elsewhere = path.join(folder, "elsewhere");
  mkdirSync(elsewhere);
  const env = { CONSUL_LOCK_LIBRARY: "", LD_LIBRARY_PATH: elsewhere };
  const mapped = `${PRINT}
    const { readFileSync } = await import("node:fs");
    console.log(readFileSync("/proc/self/maps", "utf8").split("\\n").find((it) => it.includes("libconsul_lock")));`;

  const nowhere = await run(PRINT, { cwd: place, env });
  assert.equal(nowhere.status, 1);
  const tried = /tried (.*)\. Install it \(in its sources: make && sudo make install/.exec(
    nowhere.stderr,
  )?.[1];
  const names = tried?.split("; ").map((it) => it.split(": ")[0]);
  const inside = `${place}/native/${process.platform}-${process.arch}/libconsul_lock.so`;
  assert.deepEqual(names, [inside, "libconsul_lock.so.0.1", "libconsul_lock.so"]);

  symlinkSync(LIBRARY, path.join(elsewhere, "libconsul_lock.so"));
  const plain = await run(mapped, { cwd: place, env });
  assert.match(plain.stdout, /loaded/, plain.stderr);

  copyFileSync(LIBRARY, path.join(elsewhere, "libconsul_lock.so.0.1"));
  const versioned = await run(mapped, { cwd: place, env });
  assert.match(versioned.stdout, /elsewhere\/libconsul_lock\.so\.0\.1/, versioned.stderr);

  bundle(place, LIBRARY);
  const bundled = await run(mapped, { cwd: place, env });
  assert.match(bundled.stdout, /native\/.*\/libconsul_lock\.so/, bundled.stderr);
});

test("a library with another ABI version is refused, and the next one is tried", async () => {
  const place = somewhere("other-abi");
  const told = await run(PRINT, { cwd: place, env: { CONSUL_LOCK_LIBRARY: OTHER_ABI } });
  assert.equal(told.status, 1);
  assert.match(told.stderr, /other-abi\.so: it has ABI version 999, and this package needs 2/);
  bundle(place, OTHER_ABI);
  const there = path.join(folder, "right");
  mkdirSync(there);
  copyFileSync(LIBRARY, path.join(there, "libconsul_lock.so.0.1"));
  const env = { CONSUL_LOCK_LIBRARY: "", LD_LIBRARY_PATH: there };
  const next = await run(PRINT, { cwd: place, env });
  assert.match(next.stdout, /loaded/, next.stderr);
});

test("a library without a function of this package is too old", async () => {
  const old = compile("old.so", "unsigned consul_lock_abi_version(void) { return 2; }");
  const ended = await run(PRINT, { env: { CONSUL_LOCK_LIBRARY: old } });
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /libconsul_lock is older than this package.*consul_lock_new/s);
});

test("a file that is no library is refused, with the system's words", async () => {
  const text = path.join(folder, "text.so");
  writeFileSync(text, "text");
  const ended = await run(PRINT, { env: { CONSUL_LOCK_LIBRARY: text } });
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /tried .*text\.so: .*(invalid ELF header|file too short)/);
});
