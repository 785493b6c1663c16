"use strict";

/* Finds the native library, and refuses one with another ABI version. */

const { existsSync } = require("node:fs");
const path = require("node:path");
const koffi = require("koffi");

/** The CONSUL_LOCK_ABI_VERSION of the header that lib/native.cjs was written for. */
const ABI_VERSION = 2;

/**
 * The files to try, in this order. If CONSUL_LOCK_LIBRARY is set, it is the only one, so that a program never runs
 * with another library than the one that it names.
 */
function candidates() {
  const told = process.env.CONSUL_LOCK_LIBRARY;
  if (told) {
    return [told];
  }
  const [versioned, plain] =
    process.platform === "darwin"
      ? ["libconsul_lock.0.1.dylib", "libconsul_lock.dylib"]
      : ["libconsul_lock.so.0.1", "libconsul_lock.so"];
  const place = `${process.platform}-${process.arch}`;
  return [path.join(__dirname, "..", "native", place, plain), versioned, plain];
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
  throw unusable(
    `cannot load libconsul_lock; tried ${tried.join("; ")}. ${strangeness() ?? ""}Install it (in its sources: ` +
      "make && sudo make install; the README of this package says more), or set CONSUL_LOCK_LIBRARY to the path of " +
      "libconsul_lock.so",
  );
}

/** Why no library can be loaded on this platform: a sentence, followed by a space. */
function strangeness() {
  const { platform, arch } = process;
  if (platform !== "linux") {
    return `consul-lock runs on Linux only, and this is ${platform}. `;
  }
  if (!["x64", "arm64"].includes(arch)) {
    return `consul-lock is tested on x64 and arm64, and this is ${arch}. `;
  }
  /** @type {any} */
  const report = process.report?.getReport();
  if (!report?.header?.glibcVersionRuntime) {
    return "This Node runs with another C library than glibc (musl, on Alpine): libconsul_lock must be built for it. ";
  }
  return undefined;
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

module.exports = { ABI_VERSION, candidates, load, unusable };
