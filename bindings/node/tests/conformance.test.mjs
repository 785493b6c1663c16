// The rules that all languages share: bindings/conformance.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ROOT } from "./support.mjs";

test("conformance", () => {
  const runner = fileURLToPath(new URL("conformance/runner.mjs", import.meta.url));
  // `mixed` runs this command again, without the environment of this test.
  const node = ["env", `NODE_PATH=${process.env.NODE_PATH}`, process.execPath, runner];
  const { status, stdout, stderr } = spawnSync(
    `${ROOT}/bindings/conformance/run`,
    ["node", ...node],
    {
      encoding: "utf8",
    },
  );
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^\d{2,} passed, 0 failed$/m);
});
