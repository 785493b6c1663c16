// Loads the library of the system after that of the package, as an addon does that is linked with the system's, and
// prints the files of the library that the process has.
import { readFileSync } from "node:fs";
import "consul-lock";
import koffi from "koffi";

koffi.load("libconsul_lock.so.0.1");
const files = readFileSync("/proc/self/maps", "utf8").match(/\/\S*libconsul_lock\S*$/gm);
console.log([...new Set(files)].sort().join(" "));
