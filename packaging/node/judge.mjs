// What package.json says in the packages of a folder: the versions, the systems, and that nothing runs at installation.
//
//   node packaging/node/judge.mjs FOLDER VERSION

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const { SYSTEMS, packageFor } = createRequire(import.meta.url)("../../bindings/node/lib/platform.cjs");
const [folder, version] = process.argv.slice(2);

const packages = new Map();
for (const file of readdirSync(folder)) {
    const text = execFileSync("tar", ["-xzOf", path.join(folder, file), "package/package.json"]);
    const told = JSON.parse(text.toString());
    packages.set(told.name, told);
    assert.equal(told.version, version, file);
    assert.equal(told.license, "MIT OR Apache-2.0", file);
    assert.equal(told.scripts, undefined, `${file} has scripts`);
    assert.equal(told.private, undefined, file);
    assert.equal(told.engines.node, ">=20.10", file);
}

const main = packages.get("consul-lock");
packages.delete("consul-lock");
assert.deepEqual(main.optionalDependencies, Object.fromEntries(SYSTEMS.map((it) => [packageFor(it), version])));
assert.deepEqual(main.os, ["linux"]);
assert.deepEqual(main.cpu, ["x64", "arm64"]);
assert.equal(main.libc, undefined);
assert.match(main.dependencies.koffi, /^[\d.]+$/);
assert.equal(main.devDependencies, undefined);

assert.ok(packages.size > 0);
for (const [name, told] of packages) {
    assert.equal(name, packageFor([told.os, told.cpu, told.libc].join("-")));
    assert.ok(SYSTEMS.includes([told.os, told.cpu, told.libc].join("-")));
    assert.equal(told.dependencies, undefined);
}
