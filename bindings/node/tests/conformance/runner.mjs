// Runs the conformance scenarios through this binding: bindings/conformance/README.md is the contract.

import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  Client,
  ConsulLock,
  ConsulLockError,
  hold,
  holder,
  holders,
  observe,
  setDefault,
  setDefaultClient,
  setLogger,
  setValueGenerator,
  shutdown,
  stats,
  version,
} from "consul-lock";
import { blockAt, Failure, judge, read } from "./scenarios.mjs";

const AT_ONCE = 8;
const PATIENCE = 30_000;

/** The runner's own error, with which a block fails or a signal is aborted. */
class Raised extends Error {}
class Interrupted extends Error {}

class Run {
  stored = {};
  #locks = new Map();
  #clients = new Map();
  #tasks = new Map();
  #watched = new Map();
  #observers = new Map();
  #held = new Map(); // the signals of the holds, by the names of their locks
  #log = [];

  constructor(file, variables) {
    this.file = file;
    this.variables = { ...variables, pid: String(process.pid) };
  }

  async steps(steps) {
    for (const step of steps) {
      await this.step(step);
    }
  }

  async step(step) {
    const { line, end } = step;
    if (step.verb === "raise") {
      throw new Raised(); // for the hold around it
    }
    const begun = performance.now();
    const args = step.args.map((word) => this.#filled(line, word));
    const told = await this.#outcome(this.#call(step, args));
    told.took = Math.round(performance.now() - begun);
    const expectation = step.expectation.map((word) => this.#filled(end, word));
    const wrong = judge(expectation, told);
    if (wrong !== null) {
      throw new Failure(end, `${step.verb} ${args.join(" ")}: ${wrong}`);
    }
    if (step.as !== null) {
      this.variables[step.as] = this.stored[step.as] = told.answer;
    }
  }

  #filled(line, word) {
    return word.replace(/\{(\w+)\}/g, (_, name) => {
      if (!(name in this.variables)) {
        throw new Failure(line, `unknown variable ${name}`);
      }
      return this.variables[name];
    });
  }

  async #outcome(promise) {
    try {
      const answer = String((await promise) ?? "ok");
      return { answer, failed: false, message: answer, error: null };
    } catch (error) {
      if (error instanceof ConsulLockError) {
        const answer = error.code.replace("ERR_CONSUL_LOCK_", "");
        return { answer, failed: true, message: error.message, error };
      }
      if (error instanceof Raised || error instanceof Interrupted) {
        const answer = error instanceof Raised ? "raised" : "interrupted";
        return { answer, failed: true, message: answer, error: null };
      }
      throw error;
    }
  }

  async #call(step, args) {
    const { line, verb, block } = step;
    const act = VERBS[verb];
    if (act === undefined) {
      throw new Failure(line, `unknown verb ${verb}`);
    }
    const [least, most] = act.words;
    if (args.length < least || args.length > most) {
      throw new Failure(line, `${verb} takes ${least} to ${most} words`);
    }
    try {
      return await act.call(this, args, block, line);
    } catch (error) {
      if (EXPECTED.some((kind) => error instanceof kind)) {
        throw error;
      }
      throw new Failure(line, `${verb} ${args.join(" ")}: ${error.message}`);
    }
  }

  lock(name) {
    return known(this.#locks, name);
  }

  makeLock(name, key, words) {
    this.#locks.set(name, new ConsulLock(...this.#ofLock(key, words)));
  }

  makeClient(name, words) {
    this.#clients.set(name, new Client(this.#options(words)));
  }

  client(name) {
    return known(this.#clients, name);
  }

  /** `{ client }` of the last word, if it names one. */
  withClient(word) {
    return word === undefined ? {} : { client: this.client(word.replace(/^client=/, "")) };
  }

  #options(words) {
    return Object.fromEntries(
      words.map((word) => {
        const at = word.indexOf("=");
        const [name, value] = [word.slice(0, at), word.slice(at + 1)];
        return [name, name === "client" ? this.client(value) : value];
      }),
    );
  }

  /** The key or the keys of a lock, and its options. */
  #ofLock(key, words) {
    const further = words.filter((word) => word.startsWith("and=")).map((word) => word.slice(4));
    const options = this.#options(words.filter((word) => !word.startsWith("and=")));
    return [further.length > 0 ? [key, ...further] : key, options];
  }

  async hold(name, key, words, block) {
    await hold(...this.#ofLock(key, words), async ({ lock, signal }) => {
      this.#locks.set(name, lock);
      this.#held.set(name, signal);
      try {
        await this.steps(block);
      } finally {
        this.#held.delete(name);
      }
    });
  }

  watch(name) {
    this.#watched.set(name, new Promise((resolve) => this.lock(name).onLost(resolve)));
  }

  async lost(name) {
    const signal = this.#held.get(name);
    const told = signal ? aborted(signal) : known(this.#watched, name);
    return (await inTime(told)).lostReason;
  }

  observe(name, key, options) {
    this.#observers.get(name)?.close();
    this.#observers.set(name, observe(key, options));
  }

  async observed(name, field) {
    const { value } = await inTime(known(this.#observers, name).next());
    const { holder: found, error } = value;
    if (error !== null) {
      throw error;
    }
    return found === null ? "free" : fieldOf(found, field);
  }

  unobserve(name) {
    known(this.#observers, name).close();
  }

  begin(task, verb, name, ms) {
    const controller = new AbortController();
    const { signal } = controller;
    const lock = this.lock(name);
    const calls = {
      acquire: () => lock.acquire({ signal }),
      try: () => lock.tryAcquire({ signal }),
      release: () => lock.release(),
      upgrade: () => lock.upgrade({ timeoutMs: waitOf(ms), signal }),
    };
    const ended = calls[verb]();
    ended.catch(() => {});
    this.#tasks.set(task, { ended, controller });
  }

  interrupt(task) {
    known(this.#tasks, task).controller.abort(new Interrupted());
  }

  async join(task) {
    const { ended } = known(this.#tasks, task);
    this.#tasks.delete(task);
    return inTime(ended, 4 * PATIENCE);
  }

  child(task, words, line) {
    const environment = Object.fromEntries(
      words.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]),
    );
    const variables = Object.entries(this.variables).map(([name, value]) => `${name}=${value}`);
    const args = [fileURLToPath(import.meta.url), this.file, "child", String(line), ...variables];
    const child = spawn(process.execPath, args, {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = this.#listenTo(child, line);
    ended.catch(() => {});
    this.#tasks.set(task, { ended, child });
  }

  async #listenTo(child, line) {
    let last = "it said nothing";
    for await (const text of createInterface({ input: child.stdout })) {
      const [, name, value] = /^as (\w+) (.*)$/.exec(text) ?? [];
      if (name !== undefined) {
        this.variables[name] = this.stored[name] = value;
      } else {
        last = text;
      }
    }
    if (last !== "ok") {
      const [, at, why] = /^FAILED line (\d+): (.*)$/.exec(last) ?? [null, line, last];
      throw new Failure(at, why);
    }
  }

  startLog(level) {
    setLogger((told, text) => this.#log.push([told, text]), { level });
  }

  async logged(text) {
    const deadline = performance.now() + PATIENCE;
    while (performance.now() < deadline) {
      const found = this.#log.find(([, line]) => line.includes(text));
      if (found) {
        return found[0].toUpperCase();
      }
      await sleep(10);
    }
    throw new Error(`no line of the log contains ${text}`);
  }

  endObservers() {
    for (const observer of this.#observers.values()) {
      observer.close();
    }
  }

  /** Ends the calls and children that a failed scenario has left. */
  end() {
    for (const { child } of this.#tasks.values()) {
      child?.kill("SIGKILL");
    }
    for (const lock of this.#locks.values()) {
      lock.abandon();
    }
    this.endObservers();
  }
}

const EXPECTED = [ConsulLockError, Raised, Interrupted, Failure];

function known(map, name) {
  const found = map.get(name);
  if (found === undefined) {
    throw new Error(`there is no ${name}`);
  }
  return found;
}

/** The time of an upgrade. */
const waitOf = (ms) => (ms === "-1" ? Infinity : Number(ms));

/** A field of a holder, or of a session that shares a key or waits for it. */
function fieldOf(found, field) {
  const value = found[FIELDS[field]] ?? [];
  return Array.isArray(value) ? value.join(" ") || "none" : String(value);
}

/** The number of sessions with a role, or a field of each. */
function told(found, role, field) {
  const all = [found[role] ?? []].flat();
  if (field === "count") {
    return all.length;
  }
  if (!(field in FIELDS)) {
    throw new Error(`there is no field ${field}`);
  }
  return all.map((it) => fieldOf(it, field)).join(" ");
}

const aborted = (signal) =>
  new Promise((resolve) => {
    const tell = () => resolve(signal.reason);
    signal.aborted ? tell() : signal.addEventListener("abort", tell);
  });

async function inTime(promise, patience = PATIENCE) {
  const controller = new AbortController();
  const late = sleep(patience, undefined, controller).then(
    () => Promise.reject(new Error(`nothing within ${patience} ms`)),
    () => {},
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    controller.abort();
  }
}

async function operator(file, args) {
  const program = path.join(path.dirname(file), "operator");
  try {
    const { stdout } = await promisify(execFile)(program, args);
    return stdout.replace(/\n$/, "");
  } catch (error) {
    throw new Error(`${args.join(" ")}: ${error.stderr.trim()}`, { cause: error });
  }
}

function compare(left, operation, right) {
  const holds = {
    "=": () => left === right,
    "!=": () => left !== right,
    "<": () => BigInt(left) < BigInt(right),
    ">": () => BigInt(left) > BigInt(right),
  };
  if (!holds[operation]()) {
    throw new Error("it is not so");
  }
}

const GENERATORS = {
  value: (text) => () => text,
  raises: () => () => {
    throw new Raised();
  },
  nothing: () => () => null,
  none: () => null,
};

/** The fields of holders and waiters, by their names in the scenarios. */
const FIELDS = {
  ...{ session: "session", name: "name", node: "node", value: "value" },
  ...{ fencing_token: "fencingToken", mode: "mode", limit: "limit", slot: "slot", keys: "keys" },
};

/** The verbs, with their numbers of words. `this` is the run. (`step` executes `raise`.) */
const verb = (least, most, act) => Object.assign(act, { words: [least, most] });
const MANY = Infinity;

const VERBS = {
  client: verb(1, MANY, function ([name, ...words]) {
    this.makeClient(name, words);
  }),
  lock: verb(2, MANY, function ([name, key, ...words]) {
    this.makeLock(name, key, words);
  }),
  acquire: verb(1, 1, function ([name]) {
    return this.lock(name).acquire();
  }),
  try: verb(1, 1, function ([name]) {
    return this.lock(name).tryAcquire();
  }),
  release: verb(1, 1, function ([name]) {
    return this.lock(name).release();
  }),
  cancel: verb(1, 1, function ([name]) {
    this.lock(name).cancel();
  }),
  renew: verb(1, 1, function ([name]) {
    return this.lock(name).renew();
  }),
  check: verb(1, 1, function ([name]) {
    return this.lock(name).check();
  }),
  downgrade: verb(1, 1, function ([name]) {
    return this.lock(name).downgrade();
  }),
  upgrade: verb(2, 2, function ([name, ms]) {
    return this.lock(name).upgrade({ timeoutMs: waitOf(ms) });
  }),
  put: verb(3, 3, function ([name, key, value]) {
    return this.lock(name).putIfHeld(key, value);
  }),
  delete: verb(2, 2, function ([name, key]) {
    return this.lock(name).deleteIfHeld(key);
  }),
  close: verb(1, 1, function ([name]) {
    return this.lock(name).close();
  }),
  abandon: verb(1, 1, function ([name]) {
    this.lock(name).abandon();
  }),
  held: verb(1, 1, function ([name]) {
    return this.lock(name).isHeld;
  }),
  remaining: verb(1, 1, function ([name]) {
    return this.lock(name).remainingMs;
  }),
  token: verb(1, 1, function ([name]) {
    return this.lock(name).fencingToken;
  }),
  session: verb(1, 1, function ([name]) {
    return this.lock(name).sessionId;
  }),
  key: verb(1, 1, function ([name]) {
    return this.lock(name).key;
  }),
  keys: verb(1, 1, function ([name]) {
    return this.lock(name).keys.join(" ");
  }),
  slot: verb(1, 1, function ([name]) {
    return this.lock(name).slot ?? "none";
  }),
  watch: verb(1, 1, function ([name]) {
    this.watch(name);
  }),
  lost: verb(1, 1, function ([name]) {
    return this.lost(name);
  }),
  hold: verb(2, MANY, function ([name, key, ...words], block) {
    return this.hold(name, key, words, block);
  }),
  holder: verb(2, 3, async function ([key, field, client]) {
    const found = await holder(key, this.withClient(client));
    return found === null ? "free" : fieldOf(found, field);
  }),
  holders: verb(3, 4, async function ([key, role, field, client]) {
    return told(await holders(key, this.withClient(client)), role, field);
  }),
  observe: verb(2, 3, function ([name, key, client]) {
    this.observe(name, key, this.withClient(client));
  }),
  observed: verb(2, 2, function ([name, field]) {
    return this.observed(name, field);
  }),
  unobserve: verb(1, 1, function ([name]) {
    this.unobserve(name);
  }),
  begin: verb(3, 4, function ([task, name, lock, ms]) {
    this.begin(task, name, lock, ms);
  }),
  interrupt: verb(1, 1, function ([task]) {
    this.interrupt(task);
  }),
  join: verb(1, 1, function ([task]) {
    return this.join(task);
  }),
  child: verb(1, MANY, function ([task, ...words], _block, line) {
    this.child(task, words, line);
  }),
  operator: verb(1, MANY, function (args) {
    return operator(this.file, args);
  }),
  sleep: verb(1, 1, async ([ms]) => {
    await sleep(Number(ms));
  }),
  expect: verb(3, 3, ([left, operation, right]) => compare(left, operation, right)),
  default: verb(2, 2, ([name, value]) => setDefault(name, value)),
  "default-client": verb(1, 1, function ([name]) {
    setDefaultClient(name === "none" ? null : this.client(name));
  }),
  generator: verb(1, 2, ([kind, text]) => setValueGenerator(GENERATORS[kind](text))),
  log: verb(1, 1, function ([level]) {
    this.startLog(level);
  }),
  logged: verb(1, 1, function ([text]) {
    return this.logged(text);
  }),
  stats: verb(1, 2, function ([field, client]) {
    return (this.withClient(client).client?.stats() ?? stats())[field];
  }),
  shutdown: verb(1, 1, ([ms]) => shutdown({ timeoutMs: Number(ms) })),
  version: verb(0, 0, () => version),
};

/** The failure, or null. */
async function execute(run, steps) {
  try {
    await run.steps(steps);
    run.endObservers();
    return null;
  } catch (error) {
    run.end();
    return error instanceof Failure ? error.message : error.stack;
  }
}

async function runScenario(file, scenario) {
  if (scenario.without.includes("node")) {
    return `without ${scenario.name}`;
  }
  const run = new Run(file, {
    key: `conformance/${scenario.name}-${randomBytes(4).toString("hex")}`,
    agent: process.env.CONSUL_HTTP_ADDR,
    acl: process.env.TEST_CONSUL_ACL_ADDR,
    dead: process.env.TEST_CONSUL_DEAD_ADDR,
  });
  const wrong = await execute(run, scenario.steps);
  return wrong === null ? `ok ${scenario.name}` : `FAILED ${scenario.name} ${wrong}`;
}

async function main([file, ...words]) {
  const scenarios = read(file);
  if (words[0] === "child") {
    const [, line, ...given] = words;
    const variables = Object.fromEntries(
      given.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]),
    );
    const run = new Run(file, variables);
    const wrong = await execute(run, blockAt(scenarios, Number(line)));
    for (const [name, value] of Object.entries(run.stored)) {
      console.log(`as ${name} ${value}`);
    }
    console.log(wrong === null ? "ok" : `FAILED ${wrong}`);
    return;
  }
  const queue = scenarios.filter(({ name }) => words.length === 0 || words.includes(name));
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      console.log((await runScenario(file, next)).replaceAll("\n", " "));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

await main(process.argv.slice(2));
