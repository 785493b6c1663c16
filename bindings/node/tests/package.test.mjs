// The package is packed, installed into an empty folder, and run and compiled there.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  cpSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { HERE, ROOT } from "./support.mjs";

const LIBRARY = path.resolve(process.env.CONSUL_LOCK_LIBRARY);
const MODULES = process.env.NODE_PATH;
const folder = mkdtempSync(path.join(tmpdir(), "consul-lock-package-"));
after(() => rmSync(folder, { recursive: true }));

/** The environment without the settings of this repository's tests. */
const { NODE_PATH: _, CONSUL_LOCK_LIBRARY: __, ...environment } = process.env;

async function command(name, args, { cwd = folder, env = {} } = {}) {
  try {
    const options = { cwd, env: { ...environment, ...env }, timeout: 120_000 };
    return (await promisify(execFile)(name, args, options)).stdout;
  } catch (error) {
    throw new Error(`${name} ${args.join(" ")}: ${error.stdout}${error.stderr}`, { cause: error });
  }
}

/** Packs a folder, and installs the package into an empty one. */
async function install(source, name) {
  const to = path.join(folder, `${name}-packed`);
  mkdirSync(to);
  const packed = JSON.parse(
    await command("npm", ["pack", source, "--json", "--pack-destination", to]),
  );
  const place = path.join(folder, name);
  mkdirSync(place);
  writeFileSync(path.join(place, "package.json"), '{ "private": true }');
  const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
  await command("npm", ["install", ...flags, path.join(to, packed[0].filename)], { cwd: place });
  return { place, files: packed[0].files.map((file) => file.path).sort() };
}

/** The blocks of the README that are files of examples/. */
const examples = () =>
  readFileSync(`${HERE}/README.md`, "utf8").matchAll(
    /<!-- bindings\/node\/examples\/(\S+): the tests run this very text -->\n```js\n(.*?)```/gs,
  );

describe("package", () => {
  let plain;
  before(async () => {
    plain = await install(HERE, "plain");
  });

  test("the package contains its files, and no others", () => {
    const lib =
      "client environment errors events hold holder loader lock native observer options platform process queue signals values";
    assert.deepEqual(
      plain.files,
      [
        ...["LICENSE-APACHE", "LICENSE-MIT", "README.md", "package.json"],
        ...["index.cjs", "index.d.cts", "index.d.ts", "index.js"],
        ...["testing.cjs", "testing.d.cts", "testing.d.ts", "testing.js"],
        ...lib.split(" ").map((name) => `lib/${name}.cjs`),
      ].sort(),
    );
  });

  test("the least version of Node is the same wherever it stands", () => {
    const stated = (file, pattern) => readFileSync(`${ROOT}/${file}`, "utf8").match(pattern)?.[1];
    const least = stated("bindings/node/package.json", /"node": ">=([\d.]+)"/);
    assert.equal(stated("bindings/node/README.md", /^Node ([\d.]+) or later/m), least);
    assert.equal(stated("scripts/need", /^ +node\).*"node ([\d.]+) --version"/m), least);
    const { node } = JSON.parse(readFileSync(`${HERE}/package-lock.json`, "utf8")).packages[""]
      .engines;
    assert.equal(node, `>=${least}`);
  });

  test("the README's examples run, with import and with require", async () => {
    const outputs = {
      "first.mjs": ["making the report"],
      "first.cjs": ["making the report"],
      "sharing.mjs": [
        ...["writing", "reading together", "writing again"],
        ...["the slots are 0 and 1", "transferring"],
      ],
      "observe.mjs": ["no leader", "led by 10.0.0.7:80", "no leader"],
    };
    const names = [];
    for (const [, name, text] of examples()) {
      names.push(name);
      assert.equal(text, readFileSync(`${HERE}/examples/${name}`, "utf8"));
      writeFileSync(path.join(plain.place, name), text);
      const env = { CONSUL_LOCK_LIBRARY: LIBRARY };
      const told = await command(process.execPath, [name], { cwd: plain.place, env });
      assert.equal(told, outputs[name]?.map((line) => `${line}\n`).join(""), name);
    }
    assert.deepEqual(names, Object.keys(outputs));
  });

  test("the other example runs", async () => {
    copyFileSync(`${HERE}/examples/leader.mjs`, path.join(plain.place, "leader.mjs"));
    const env = { CONSUL_LOCK_LIBRARY: LIBRARY };
    const told = await command(process.execPath, ["leader.mjs"], { cwd: plain.place, env });
    assert.equal(told, "step 1\nstep 2\nstep 3\n");
  });

  test("TypeScript compiles its users, as modules and as CommonJS, and refuses mistakes", async () => {
    for (const name of ["typescript", "@types/node", "undici-types"]) {
      cpSync(path.join(MODULES, name), path.join(plain.place, "node_modules", name), {
        recursive: true,
      });
    }
    const options = {
      module: "nodenext",
      target: "es2022",
      lib: ["es2022", "esnext.disposable"],
      strict: true,
      exactOptionalPropertyTypes: true,
      types: ["node"],
    };
    const config = { compilerOptions: options, files: ["user.mts", "user.cts"] };
    writeFileSync(path.join(plain.place, "tsconfig.json"), JSON.stringify(config));
    for (const name of config.files) {
      copyFileSync(`${HERE}/tests/types/${name}`, path.join(plain.place, name));
    }
    const tsc = path.join(plain.place, "node_modules/typescript/bin/tsc");
    await command(process.execPath, [tsc], { cwd: plain.place });
    const env = { CONSUL_LOCK_LIBRARY: LIBRARY };
    for (const name of ["user.mjs", "user.cjs"]) {
      const told = await command(process.execPath, [name], { cwd: plain.place, env });
      assert.equal(told, "42\n", "the compiled program runs, with await using");
    }
  });
});
