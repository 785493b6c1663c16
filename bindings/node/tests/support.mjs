// Helpers that the tests share.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const HERE = fileURLToPath(new URL("..", import.meta.url));
export const API = JSON.parse(readFileSync(`${ROOT}/abi/api.json`, "utf8"));
export const NIGHTLY = process.env.NIGHTLY === "1";
/** The number of provoked accidents. */
export const TIMES = NIGHTLY ? 200 : 20;
export const AGENT = process.env.CONSUL_HTTP_ADDR;

/** A key that no other test uses. */
export const someKey = (name) => `node/${name}-${randomBytes(4).toString("hex")}`;

/** The check of `assert.rejects` and `assert.throws` for an error of the library. */
export const code = (name) => ({ name: "ConsulLockError", code: `ERR_CONSUL_LOCK_${name}` });

/** Sends a request to Consul without the library; gives the JSON of the answer, or null for a 404. */
export async function consul(method, path, body) {
  const answer = await fetch(`http://${AGENT}/v1/${path}`, { method, body });
  return answer.status === 404 ? null : JSON.parse((await answer.text()) || "null");
}

/** The row of a lock's key, or null if the key does not exist. */
export async function row(lock) {
  const rows = await consul("GET", `kv/${lock.key}?consistent`);
  return rows?.[0] ?? null;
}

/** Deletes the key of a lock, as an operator may. */
export const removeKeyOf = (lock) => consul("DELETE", `kv/${lock.key}`);

export async function until(condition, patience = 20_000) {
  const deadline = performance.now() + patience;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new Error(`it was not so within ${patience} ms: ${condition}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until `count` processes stand in line for a lock: their tickets are below its key. */
export const inLine = (lock, count) =>
  until(async () => ((await consul("GET", `kv/${lock.key}/.fifo/?keys`)) ?? []).length === count);

/** Runs a program with this package; fulfilled with its output and its end. */
export function run(source, { flags = [], env = {}, patience = 60_000, cwd = HERE } = {}) {
  const child = spawn(process.execPath, [...flags, "--input-type=module", "-e", source], {
    cwd,
    env: { ...process.env, ...env },
    timeout: patience,
    killSignal: "SIGKILL",
  });
  const told = { stdout: "", stderr: "" };
  for (const name of Object.keys(told)) {
    child[name].setEncoding("utf8").on("data", (text) => (told[name] += text));
  }
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) =>
      resolve({ ...told, status, signal, took: performance.now() - begun }),
    );
  });
}
