// The package finds the native library. Each case runs in a new process, which has not loaded the library yet.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { HERE, ROOT, run } from "./support.mjs";

const { SYSTEMS, interpreterOf, libcOf, packageFor, system } = createRequire(import.meta.url)(
  "../lib/platform.cjs",
);

const LIBRARY = path.resolve(process.env.CONSUL_LOCK_LIBRARY);
const folder = mkdtempSync(path.join(tmpdir(), "consul-lock-loader-"));
after(() => rmSync(folder, { recursive: true }));

/** Says which file of the library the process has, by the system's own word. */
const PRINT = `
  await import("consul-lock");
  const { readFileSync } = await import("node:fs");
  const maps = readFileSync("/proc/self/maps", "utf8").split("\\n");
  const files = maps.filter((it) => it.includes("libconsul_lock")).map((it) => it.split(/ +/)[5]);
  console.log("loaded", ...new Set(files));`;

/** A program in a folder with the package as npm would install it, and with nothing of the library. */
function program(name) {
  const place = path.join(folder, name);
  const to = path.join(place, "node_modules", "consul-lock");
  for (const part of ["package.json", "index.js", "index.cjs", "lib"]) {
    cpSync(path.join(HERE, part), path.join(to, part), { recursive: true });
  }
  return place;
}

/** Installs the package that has the library of a system, as npm would. */
function install(place, file, name = system()) {
  const to = path.join(place, "node_modules", packageFor(name));
  mkdirSync(to, { recursive: true });
  writeFileSync(path.join(to, "package.json"), JSON.stringify({ name: packageFor(name) }));
  copyFileSync(file, path.join(to, "libconsul_lock.so"));
  return path.join(to, "libconsul_lock.so");
}

/** Runs a program without a library that this machine has installed, if it has one. */
function start(place, { flags = [], ...env } = {}) {
  return run(PRINT, { cwd: place, flags, env: { CONSUL_LOCK_LIBRARY: "", ...env } });
}

/** The files that an error names, in their order. */
const tried = (told) =>
  /tried (.*?)\. [A-Z]/
    .exec(told)?.[1]
    .split("; ")
    .map((it) => it.split(": ")[0]);

function compile(name, source) {
  const file = path.join(folder, name);
  writeFileSync(`${file}.c`, source);
  execFileSync("cc", ["-shared", "-fPIC", "-o", file, `${file}.c`]);
  return file;
}

const OTHER_ABI = compile("other-abi.so", "unsigned consul_lock_abi_version(void) { return 999; }");

test("the packages are those that are built", () => {
  const { targets } = /^targets=\((?<targets>.*)\)$/m.exec(
    readFileSync(`${ROOT}/packaging/target`, "utf8"),
  ).groups;
  const words = { x86_64: "x64", aarch64: "arm64", gnu: "glibc", musl: "musl" };
  const systems = targets.split(" ").map((target) => {
    const [processor, os, libc] = target.split("-");
    return `${os}-${words[processor]}-${words[libc]}`;
  });
  assert.deepEqual(SYSTEMS, systems);
});

test("the C library is that of the executable file", () => {
  const source = path.join(folder, "main.c");
  writeFileSync(source, "int main(void) { return 0; }");
  const made = (name, ...flags) => {
    const file = path.join(folder, name);
    execFileSync("cc", [source, "-o", file, ...flags]);
    return file;
  };
  const musl = made("for-musl", "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1");
  assert.equal(interpreterOf(musl), "/lib/ld-musl-x86_64.so.1");
  assert.equal(libcOf(musl), "musl");
  const glibc = made(
    "for-glibc",
    "-Wl,--dynamic-linker=/nix/store/glibc-2.40/lib/ld-linux-x86-64.so.2",
  );
  assert.equal(libcOf(glibc), "glibc");

  // These three do not say it, so Node's report does.
  const reported = process.report.getReport().header.glibcVersionRuntime ? "glibc" : "musl";
  assert.equal(interpreterOf(made("static", "-static")), undefined);
  assert.equal(libcOf(path.join(folder, "static")), reported);
  assert.equal(interpreterOf(source), undefined);
  assert.equal(libcOf(source), reported);
  assert.equal(libcOf(path.join(folder, "nowhere")), reported);
  assert.equal(libcOf(process.execPath), reported);
});

test("CONSUL_LOCK_LIBRARY comes first, and nothing else is tried", async () => {
  const place = program("told");
  install(place, LIBRARY);
  const there = await start(place, { CONSUL_LOCK_LIBRARY: LIBRARY });
  // The system knows a file by its own name, and not by that of a link.
  assert.equal(there.stdout, `loaded ${realpathSync(LIBRARY)}\n`, there.stderr);
  const missing = path.join(folder, "not-there.so");
  const ended = await start(place, { CONSUL_LOCK_LIBRARY: missing });
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /cannot load libconsul_lock; tried \S*not-there\.so: no such file\. /);
  assert.match(
    ended.stderr,
    /CONSUL_LOCK_LIBRARY must name a libconsul_lock\.so for this system \(linux-/,
  );
  assert.match(ended.stderr, /ERR_CONSUL_LOCK_LIBRARY/);
});

test("then comes the package for the system, then libconsul_lock.so.0.1, then the plain name", async () => {
  const place = program("order");
  const elsewhere = path.join(folder, "elsewhere");
  mkdirSync(elsewhere);
  const env = { LD_LIBRARY_PATH: elsewhere };

  const nowhere = await start(place, env);
  assert.equal(nowhere.status, 1);
  assert.deepEqual(tried(nowhere.stderr), ["libconsul_lock.so.0.1", "libconsul_lock.so"]);

  copyFileSync(LIBRARY, path.join(elsewhere, "libconsul_lock.so"));
  const plain = await start(place, env);
  assert.equal(plain.stdout, `loaded ${elsewhere}/libconsul_lock.so\n`, plain.stderr);

  copyFileSync(LIBRARY, path.join(elsewhere, "libconsul_lock.so.0.1"));
  const versioned = await start(place, env);
  assert.equal(versioned.stdout, `loaded ${elsewhere}/libconsul_lock.so.0.1\n`, versioned.stderr);

  const packaged = install(place, LIBRARY);
  const first = await start(place, env);
  assert.equal(first.stdout, `loaded ${packaged}\n`, first.stderr);
});

test("a package with a library that does not load is no reason to take the system's", async () => {
  const place = program("other-abi");
  const there = path.join(folder, "right");
  mkdirSync(there);
  copyFileSync(LIBRARY, path.join(there, "libconsul_lock.so.0.1"));
  const env = { LD_LIBRARY_PATH: there };
  const packaged = install(place, OTHER_ABI);
  const ended = await start(place, env);
  assert.equal(ended.status, 1);
  assert.deepEqual(tried(ended.stderr), [packaged]);
  assert.match(ended.stderr, /it has ABI version 999, and this package needs 2/);
  assert.match(
    ended.stderr,
    /Install consul-lock and @consul-lock\/linux-\S* again, both in the same version/,
  );
});

test("of the system's libraries one with another ABI version is refused, and the next one is tried", async () => {
  const told = await start(program("told-other"), { CONSUL_LOCK_LIBRARY: OTHER_ABI });
  assert.equal(told.status, 1);
  assert.match(told.stderr, /other-abi\.so: it has ABI version 999, and this package needs 2/);
  const there = path.join(folder, "two");
  mkdirSync(there);
  copyFileSync(OTHER_ABI, path.join(there, "libconsul_lock.so.0.1"));
  copyFileSync(LIBRARY, path.join(there, "libconsul_lock.so"));
  const next = await start(program("system-other"), { LD_LIBRARY_PATH: there });
  assert.match(next.stdout, /^loaded .*two\/libconsul_lock\.so( |$)/m, next.stderr);
});

test("with the packages of both C libraries, the process takes its own", async () => {
  const place = program("both");
  const own = install(place, LIBRARY);
  for (const other of SYSTEMS.filter((it) => it !== system())) {
    install(place, OTHER_ABI, other);
  }
  const told = await start(place);
  assert.equal(told.stdout, `loaded ${own}\n`, told.stderr);
});

test("the package is looked for beside consul-lock itself, and not beside the program", async () => {
  // As pnpm lays it out: links to folders in which a package sees its own dependencies alone.
  const place = path.join(folder, "linked");
  const store = program("linked/store");
  const own = install(store, LIBRARY);
  mkdirSync(path.join(place, "node_modules"));
  symlinkSync(
    path.join(store, "node_modules", "consul-lock"),
    path.join(place, "node_modules", "consul-lock"),
  );
  const told = await start(place);
  assert.equal(told.stdout, `loaded ${own}\n`, told.stderr);
});

test("the error names the package that is missing, and says how to install it", async () => {
  const ended = await start(program("missing"));
  assert.equal(ended.status, 1);
  const message = `The package ${packageFor(system())} is missing. Install again without --omit=optional`;
  assert.ok(ended.stderr.includes(message), ended.stderr);
  assert.match(
    ended.stderr,
    /if another system wrote the lock file, remove the lock file and node_modules first/,
  );
  assert.match(
    ended.stderr,
    /or set CONSUL_LOCK_LIBRARY to the path of a libconsul_lock\.so for this system/,
  );
});

test("the error names the package of another system, and what to type", async () => {
  const place = program("copied");
  const other = SYSTEMS.find((it) => it !== system());
  install(place, LIBRARY, other);
  const ended = await start(place);
  assert.equal(ended.status, 1);
  const [os, cpu, libc] = system().split("-");
  const message = `${packageFor(other)} is installed, and this system needs ${packageFor(system())}: install on this system, or with --os=${os} --cpu=${cpu} --libc=${libc}`;
  assert.ok(ended.stderr.includes(message), ended.stderr);
});

test("the error says so where no package is for the system", async () => {
  for (const [key, value] of Object.entries({ arch: "riscv64", platform: "freebsd" })) {
    const set = path.join(folder, `${key}.cjs`);
    // koffi is loaded before, for the system that there is.
    const text = `require("koffi"); Object.defineProperty(process, "${key}", { value: "${value}" });`;
    writeFileSync(set, text);
    const ended = await start(program(`on-${value}`), { flags: ["--require", set] });
    assert.equal(ended.status, 1);
    assert.match(
      ended.stderr,
      new RegExp(
        `The packages with the library are for linux-x64-glibc, .*, and this system is .*${value}`,
      ),
    );
  }
});

test("the error says so where the package is in a bundle, or koffi lacks its native part", async () => {
  const place = program("renamed");
  const lib = path.join(place, "node_modules/consul-lock/lib");
  renameSync(path.join(lib, "loader.cjs"), path.join(lib, "bundle.cjs"));
  for (const name of ["environment.cjs", "native.cjs"]) {
    const file = path.join(lib, name);
    writeFileSync(file, readFileSync(file, "utf8").replace("./loader.cjs", "./bundle.cjs"));
  }
  const bundled = await start(place);
  assert.match(
    bundled.stderr,
    /is part of a bundle.*\(esbuild: --external:consul-lock; webpack: externals\)/,
  );

  const half = program("half");
  const koffi = path.join(half, "node_modules/koffi");
  mkdirSync(koffi);
  writeFileSync(path.join(koffi, "index.js"), 'throw new Error("no native module");');
  const ended = await start(half);
  assert.match(
    ended.stderr,
    /since the package koffi does not load \("no native module"\)\. It needs its package @koromix\/koffi-linux-/,
  );
  assert.match(ended.stderr, /Install again without --omit=optional/);
  assert.match(ended.stderr, /ERR_CONSUL_LOCK_LIBRARY/);
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
