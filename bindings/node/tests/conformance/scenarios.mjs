// Reads scenarios, which bindings/conformance/README.md describes.

import { readFileSync } from "node:fs";

const WORD = /"(?:[^"\\]|\\.)*"|\S+/g;
const ESCAPES = { n: "\n", t: "\t", 0: "\0" };
const BLOCKS = new Set(["hold", "child", "fork"]);

/** A failed step, by its line. */
export class Failure extends Error {
  constructor(line, message) {
    super(`line ${line}: ${message}`);
  }
}

/** `[{ name, without, steps }]`; a step is `{ line, verb, args, as, expectation, block, end }`. */
export function read(file) {
  const scenarios = [];
  let open = []; // the lists of steps that further lines go to, the innermost last
  readFileSync(file, "utf8")
    .split("\n")
    .forEach((text, index) => {
      const words = text.match(WORD) ?? [];
      if (words.length === 0 || words[0].startsWith("#")) {
        return;
      }
      const scenario = scenarios.at(-1);
      if (words[0] === "scenario") {
        const steps = [];
        scenarios.push({ name: words[1].replace(/:$/, ""), without: [], steps });
        open = [steps];
      } else if (words[0] === "without") {
        const languages = words.slice(1, words.findIndex((word) => word.endsWith(":")) + 1);
        scenario.without.push(...languages.map((word) => word.replace(/:$/, "")));
      } else if (words[0] === "end") {
        open.pop();
        const block = open.at(-1).at(-1);
        block.expectation = step(words, index + 1).expectation;
        block.end = index + 1;
      } else if (words[0] !== "must-fail") {
        const made = step(words, index + 1);
        open.at(-1).push(made);
        if (BLOCKS.has(made.verb)) {
          made.block = [];
          open.push(made.block);
        }
      }
    });
  return scenarios;
}

function step(words, line) {
  const arrow = words.indexOf("->");
  const call = (arrow < 0 ? words : words.slice(0, arrow)).map(plain);
  const expectation = arrow < 0 ? [] : words.slice(arrow + 1).map(plain);
  const as = call.length > 2 && call.at(-2) === "as" ? call.splice(-2)[1] : null;
  const [verb, ...args] = call;
  return { line, verb, args, as, expectation, block: null, end: line };
}

const plain = (word) =>
  word.startsWith('"')
    ? word.slice(1, -1).replace(/\\(.)/g, (_, letter) => ESCAPES[letter] ?? letter)
    : word;

/** The child block that begins on a line. */
export function blockAt(scenarios, line) {
  const find = (steps) => {
    for (const step of steps) {
      const found = step.line === line ? step.block : step.block && find(step.block);
      if (found) {
        return found;
      }
    }
    return null;
  };
  return find(scenarios.flatMap((scenario) => scenario.steps));
}

/** The problem of an answer, or null. `message` is the error's message, or the answer itself. */
export function judge(expectation, { answer, failed, message, error, took }) {
  const words = [...expectation];
  const exact = words.length > 0 && !(words[0] in CLAUSES) ? words.shift() : null;
  if (exact === null ? failed : answer !== exact) {
    const wanted = exact ?? "no failure";
    return `wanted ${wanted}, got ${answer}${failed && message !== answer ? `: ${message}` : ""}`;
  }
  while (words.length > 0) {
    const name = words.shift();
    const holds = CLAUSES[name];
    if (holds === undefined) {
      return `unknown clause ${name}`;
    }
    const given = words.splice(0, holds.length - 1);
    if (!holds({ answer, message, error, took }, ...given)) {
      return `wanted ${[name, ...given].join(" ")}, got ${answer} after ${took} ms: ${message}`;
    }
  }
  return null;
}

const CLAUSES = {
  says: ({ message }, text) => message.includes(text),
  hides: ({ message }, text) => !message.includes(text),
  between: ({ answer }, least, most) =>
    /^-?\d+$/.test(answer) && BigInt(answer) >= BigInt(least) && BigInt(answer) <= BigInt(most),
  within: ({ took }, least, most) => took >= Number(least) && took <= Number(most),
  http: ({ error }, status) => error?.httpStatus === Number(status),
  retryable: ({ error }) => error?.retryable === true,
  final: ({ error }) => error?.retryable === false,
};
