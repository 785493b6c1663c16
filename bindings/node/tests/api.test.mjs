// The declarations of this package agree with abi/api.json.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as consulLock from "consul-lock";
import { API, HERE } from "./support.mjs";

const require = createRequire(import.meta.url);
const { ABI_VERSION } = require("../lib/loader.cjs");
const { ADDRESSES, DECLARATIONS, c } = require("../lib/native.cjs");
const { LOST_REASONS, STATUSES } = require("../lib/errors.cjs");
const { LOG_LEVELS } = require("../lib/process.cjs");
const types = readFileSync(`${HERE}/index.d.cts`, "utf8");
const readme = readFileSync(`${HERE}/README.md`, "utf8");

/** The functions that this package does not use, and why. */
const WITHOUT = {
  consul_lock_acquire: "blocks",
  consul_lock_release: "blocks",
  consul_lock_renew: "blocks",
  consul_lock_check: "blocks",
  consul_lock_downgrade: "blocks",
  consul_lock_upgrade: "blocks",
  consul_lock_put_if_held: "blocks",
  consul_lock_delete_if_held: "blocks",
  consul_lock_holder: "blocks",
  consul_lock_holders: "blocks",
  consul_lock_shutdown: "blocks",
  consul_lock_free: "releases, and so may block: the package releases, then abandons",
  consul_lock_key: "the package reads all keys",
  consul_lock_holders_count: "the package reads the JSON",
  consul_lock_holders_role: "the package reads the JSON",
  consul_lock_holders_get: "the package reads the JSON",
  consul_lock_holders_limit: "the package reads the JSON",
  consul_lock_holders_slot: "the package reads the JSON",
  consul_lock_holders_key_count: "the package reads the JSON",
  consul_lock_holders_key: "the package reads the JSON",
  consul_lock_options_set_int: "the package passes each option as a text",
  consul_lock_set_value_generator: "calls back: the package calls the generator in JavaScript",
  consul_lock_value_set: "calls back: the package calls the generator in JavaScript",
  consul_lock_status_name: "the types have the codes",
  consul_lock_lost_reason_name: "the types have the reasons",
  consul_lock_why_lost: "the notice of a loss has the reason",
  consul_lock_event_kind: "a tag has one kind of event",
};

test("every declared function has the signature of the library", () => {
  const functions = new Map(API.functions.map((it) => [it.name, it]));
  for (const [name, types] of Object.entries(DECLARATIONS)) {
    const there = functions.get(name);
    assert.ok(there, `${name} is not in the library`);
    assert.deepEqual(types, [there.returns, ...there.params.map(({ type }) => type)], name);
  }
});

test("every function of the library is declared, or has a reason why not", () => {
  const known = [...Object.keys(DECLARATIONS), ...ADDRESSES, ...Object.keys(WITHOUT)];
  const missing = API.functions.map(({ name }) => name).filter((name) => !known.includes(name));
  assert.deepEqual(missing, []);
  const stale = Object.keys(WITHOUT).filter((name) => name in DECLARATIONS);
  assert.deepEqual(stale, []);
});

test("koffi was given types of the same size and kind", () => {
  const kinds = {
    void: "Void",
    bool: "Bool",
    int32_t: "Int32",
    uint32_t: "UInt32",
    int64_t: "Int64",
    uint64_t: "UInt64",
    size_t: "UInt64",
    consul_lock_status: "Int32",
    "const char *": "String",
  };
  const callbacks = API.callbacks.map(({ name }) => name);
  const kindOf = (type) =>
    kinds[type] ?? (type.endsWith("*") || callbacks.includes(type) ? "Pointer" : `no ${type}`);
  for (const [name, types] of Object.entries(DECLARATIONS)) {
    const { result, arguments: params } = c[name].info;
    const given = [result, ...params.map(({ type }) => type)].map(({ primitive }) => primitive);
    assert.deepEqual(given, types.map(kindOf), name);
  }
});

test("nothing calls back into JavaScript, and nothing uses the thread pool", () => {
  const source = readdirSync(`${HERE}/lib`)
    .map((name) => readFileSync(`${HERE}/lib/${name}`, "utf8"))
    .join("");
  assert.doesNotMatch(source, /\.register\(.*koffi|koffi\.(register|proto)|\.async\(/);
});

test("every status has its error code", () => {
  const wanted = API.statuses.filter(({ name }) => name !== "OK");
  assert.deepEqual(
    [...STATUSES],
    wanted.map(({ name, number }) => [number, name]),
  );
  for (const { name, number } of wanted) {
    const error = new consulLock.ConsulLockError(number, "text");
    assert.equal(error.code, `ERR_CONSUL_LOCK_${name}`);
    assert.match(types, new RegExp(`"ERR_CONSUL_LOCK_${name}"`), "in the types");
    assert.match(readme, new RegExp(`\`${name}\``), "in the README");
  }
});

test("lost reasons and log levels are those of the library", () => {
  assert.deepEqual(
    [...LOST_REASONS].map(([number, [name]]) => ({ name, number })),
    API.lost_reasons,
  );
  const levels = LOG_LEVELS.map((name, at) => ({ name: name.toUpperCase(), number: at + 1 }));
  assert.deepEqual(levels, API.log_levels);
  for (const { name } of API.lost_reasons) {
    assert.match(types, new RegExp(`"${name}"`));
  }
});

test("every option is in the types and in the README, under its name in camel case", () => {
  for (const { name, places } of API.options) {
    const camelCase = name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
    assert.match(readme, new RegExp(`\`${camelCase}\``), `${camelCase} in the README`);
    if (places.some((place) => place !== "default")) {
      assert.match(types, new RegExp(`^  ${camelCase}\\?:`, "m"), `${camelCase} in the types`);
    }
  }
});

test("the versions are those of the library", () => {
  const manifest = JSON.parse(readFileSync(`${HERE}/package.json`, "utf8"));
  assert.equal(ABI_VERSION, API.abi_version);
  assert.equal(manifest.version, API.version);
  assert.equal(consulLock.version, API.version);
});

test("import and require give the same objects, and all that the types declare", () => {
  const required = require("consul-lock");
  assert.deepEqual({ ...consulLock }, { ...required });
  const declared = types.matchAll(/^export (?:class|function|const) (\w+)/gm);
  const names = new Set([...declared].map(([, name]) => name));
  assert.deepEqual([...names].sort(), Object.keys(required).sort());
});

test("the licences are those of the library", () => {
  for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) {
    assert.equal(
      readFileSync(`${HERE}/${name}`, "utf8"),
      readFileSync(`${HERE}/../../${name}`, "utf8"),
    );
  }
});
