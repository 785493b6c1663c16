// Reports each failure with its reason, and at the end the failures in short and the count.

import { inspect } from "node:util";

const IS_NO_TEST = new Set(["suite", "file"]);

export default async function* reporter(events) {
  let passed = 0;
  const failed = [];
  for await (const { type, data } of events) {
    if (type === "test:stderr" || type === "test:stdout") {
      yield data.message;
    } else if (type === "test:pass" && !IS_NO_TEST.has(data.details.type) && !data.skip) {
      passed++;
    } else if (type === "test:fail") {
      const { error } = data.details;
      // A suite fails with its tests, which are reported already, or by itself.
      if (!IS_NO_TEST.has(data.details.type) || error.failureType !== "subtestsFailed") {
        const why = error.cause ?? error;
        failed.push(`${data.name}: ${why?.message ?? inspect(why)}`);
        yield `FAILED  ${data.file}: ${data.name}\n${why?.stack ?? inspect(why)}\n\n`;
      }
    }
  }
  yield failed.map((name) => `FAILED  ${name}\n`).join("");
  yield `${passed} passed, ${failed.length} failed\n`;
}
