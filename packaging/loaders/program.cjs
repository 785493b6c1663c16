"use strict";

/* Loads the package and the extension in the order of the arguments, and takes locks by both. */

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const koffi = require("koffi");

const NOT_ACQUIRED = 20;
const KEY = `loaders/node/${process.pid}`;

async function main() {
  let consulLock;
  let extension;
  for (const word of process.argv.slice(2)) {
    if (word === "package") {
      consulLock = require("consul-lock");
    } else {
      const library = koffi.load(word);
      extension = {
        take: library.func("extension_take", "int", ["str"]),
        give: library.func("extension_give", "int", []),
      };
    }
  }
  if (consulLock && extension) {
    const { ConsulLock, hold } = consulLock;
    await hold(KEY, () => assert.equal(extension.take(KEY), NOT_ACQUIRED));
    assert.equal(extension.take(KEY), 0);
    assert.equal(await new ConsulLock(KEY).tryAcquire(), false);
    assert.equal(extension.give(), 0);
    // What one gives back, the other does not lose.
    await hold(KEY, async ({ lock }) => {
      assert.equal(extension.take(`${KEY}/other`), 0);
      assert.equal(extension.give(), 0);
      await lock.check();
    });
  }
  const mapped = readFileSync("/proc/self/maps", "utf8").match(/\S*libconsul_lock\S*$/gm);
  console.log([...new Set(mapped)].sort().join("\n"));
}

main();
