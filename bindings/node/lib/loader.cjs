"use strict";

/* Finds the native library, and refuses one with another ABI version. */

const { existsSync } = require("node:fs");
const { createRequire } = require("node:module");
const path = require("node:path");
const { SYSTEMS, packageFor, system } = require("./platform.cjs");

/** The CONSUL_LOCK_ABI_VERSION of the header that lib/native.cjs was written for. */
const ABI_VERSION = 2;

const INSTALL_AGAIN =
  "Install again without --omit=optional (--no-optional); if another system wrote the lock file, remove the lock file " +
  "and node_modules first";

/** The package that calls C. Its native part is an optional package, too. */
const koffi = (() => {
  try {
    return require("koffi");
  } catch (cause) {
    const native =
      cause.code === "ERR_DLOPEN_FAILED"
        ? "Its native part is for another system, or this system lacks a library that it needs"
        : `It needs its package @koromix/koffi-${process.platform}-${process.arch}. ${INSTALL_AGAIN}`;
    const message = `cannot load libconsul_lock, since the package koffi does not load ("${cause.message}")`;
    throw unusable(`${message}. ${inBundle() ?? native}`, { cause });
  }
})();

// Not `require.resolve`, which a bundler would try to answer when it bundles.
const { resolve } = createRequire(__filename);

/** The library of the package for a system; undefined if the package is not installed. */
function libraryFor(name) {
  try {
    return resolve(`${packageFor(name)}/libconsul_lock.so`);
  } catch {
    return undefined;
  }
}

/**
 * The files to try, in this order. The first of these three that there is, is the only one, so that a program never runs
 * with another library than the one that it names or has installed: CONSUL_LOCK_LIBRARY, the package for the system,
 * the libraries of the system.
 */
function candidates() {
  const told = process.env.CONSUL_LOCK_LIBRARY || libraryFor(system());
  if (told) {
    return [told];
  }
  return process.platform === "darwin"
    ? ["libconsul_lock.0.1.dylib", "libconsul_lock.dylib"]
    : ["libconsul_lock.so.0.1", "libconsul_lock.so"];
}

/** The error of an import of this package without a usable library. */
function unusable(message, options) {
  return Object.assign(new Error(message, options), { code: "ERR_CONSUL_LOCK_LIBRARY" });
}

function load() {
  const tried = [];
  for (const candidate of candidates()) {
    try {
      return open(candidate);
    } catch (error) {
      tried.push(`${candidate}: ${error.message}`);
    }
  }
  throw unusable(`cannot load libconsul_lock; tried ${tried.join("; ")}. ${advice()}`);
}

function open(file) {
  if (path.isAbsolute(file) && !existsSync(file)) {
    throw new Error("no such file");
  }
  const library = koffi.load(file);
  const version = library.func("consul_lock_abi_version", "uint32_t", [])();
  if (version !== ABI_VERSION) {
    throw new Error(`it has ABI version ${version}, and this package needs ${ABI_VERSION}`);
  }
  return library;
}

/** What the user can do about a library that does not load. */
function advice() {
  const here = system();
  const mine = packageFor(here);
  const elsewhere = "or set CONSUL_LOCK_LIBRARY to the path of a libconsul_lock.so for this system";
  if (process.env.CONSUL_LOCK_LIBRARY) {
    return (
      `CONSUL_LOCK_LIBRARY must name a libconsul_lock.so for this system (${here}); without the variable, the ` +
      `library of the package ${mine} is loaded`
    );
  }
  if (libraryFor(here)) {
    return `Install consul-lock and ${mine} again, both in the same version, ${elsewhere}`;
  }
  if (!SYSTEMS.includes(here)) {
    return (
      `The packages with the library are for ${SYSTEMS.join(", ")}, and this system is ${here}: build and install ` +
      `libconsul_lock, ${elsewhere}`
    );
  }
  return `${inBundle() ?? ofAnotherSystem(here) ?? `The package ${mine} is missing. ${INSTALL_AGAIN}`}, ${elsewhere}`;
}

/** What to do where a bundler has made this file a part of another one; else undefined. */
function inBundle() {
  if (path.basename(__filename) === "loader.cjs") {
    return undefined;
  }
  return (
    "This consul-lock is part of a bundle, which has no native code: leave the package out of the bundle " +
    "(esbuild: --external:consul-lock; webpack: externals), and install it beside the bundle"
  );
}

/** What to do where node_modules comes from another system; else undefined. */
function ofAnotherSystem(here) {
  const other = SYSTEMS.find(libraryFor);
  if (other === undefined) {
    return undefined;
  }
  const [os, cpu, libc] = here.split("-");
  return (
    `The package ${packageFor(other)} is installed, and this system needs ${packageFor(here)}: install on this ` +
    `system, or with --os=${os} --cpu=${cpu} --libc=${libc}`
  );
}

module.exports = { ABI_VERSION, candidates, koffi, load, unusable };
