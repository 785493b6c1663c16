// Takes and releases a lock, and prints the version and the file of the library that did so.
import { readFileSync } from "node:fs";
import { hold, version } from "consul-lock";

await hold("packages/node", { acquireTimeoutMs: 10_000 }, async ({ signal, fencingToken }) => {
    if (signal.aborted || fencingToken === 0n) {
        throw new Error("the lock is not held");
    }
});
const [file] = /\/\S*libconsul_lock\S*$/m.exec(readFileSync("/proc/self/maps", "utf8"));
console.log(version, file);
