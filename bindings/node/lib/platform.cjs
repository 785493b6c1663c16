"use strict";

/* Which package has the library for this process. npm installs one package for a system, by its os, cpu and libc. */

const { closeSync, openSync, readSync } = require("node:fs");
const path = require("node:path");

/** The packages that are published, as npm's words for a system: os, cpu, libc. */
const SYSTEMS = ["linux-x64-glibc", "linux-x64-musl", "linux-arm64-glibc", "linux-arm64-musl"];

/** The name of the package for a system. */
const packageFor = (system) => `@consul-lock/${system}`;

/** The type of the row of an ELF file that names the loader of the program. */
const PT_INTERP = 3;

/** The loader that an executable file asks for, such as /lib64/ld-linux-x86-64.so.2. */
function interpreterOf(file) {
  const descriptor = openSync(file, "r");
  try {
    const read = (position, length) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(descriptor, bytes, 0, length, position));
    };
    const header = read(0, 64);
    // 64 bits, the low byte first: all processors of SYSTEMS.
    if (header.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") {
      return undefined;
    }
    const size = header.readUInt16LE(54);
    const rows = read(Number(header.readBigUInt64LE(32)), size * header.readUInt16LE(56));
    for (let row = 0; row < rows.length; row += size) {
      if (rows.readUInt32LE(row) === PT_INTERP) {
        const [position, length] = [row + 8, row + 32].map((at) =>
          Number(rows.readBigUInt64LE(at)),
        );
        return read(position, length).toString("latin1").replace(/\0.*/s, "");
      }
    }
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The C library of an executable file, in npm's words. A library for another one cannot be loaded into its process. The
 * file itself is asked first: process.report looks up the names of all peers of open sockets, which may take seconds.
 */
function libcOf(executable) {
  let interpreter;
  try {
    interpreter = path.basename(interpreterOf(executable) ?? "");
  } catch {
    // The file is gone, or is not for reading.
  }
  if (interpreter?.startsWith("ld-musl-")) {
    return "musl";
  }
  if (interpreter?.startsWith("ld-linux")) {
    return "glibc";
  }
  /** @type {any} */
  const report = process.report?.getReport();
  return report?.header?.glibcVersionRuntime ? "glibc" : "musl";
}

/** What this process runs on, as an element of SYSTEMS or as one that SYSTEMS lacks. */
function system(executable = process.execPath) {
  const { platform, arch } = process;
  return platform === "linux" ? `linux-${arch}-${libcOf(executable)}` : `${platform}-${arch}`;
}

module.exports = { SYSTEMS, interpreterOf, libcOf, packageFor, system };
