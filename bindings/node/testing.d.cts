/// <reference types="node" />

import type { Client } from "./index.cjs";

/** Which Consul {@link startConsul} starts. */
export interface ConsulOptions {
  /**
   * Lets the time of Consul pass so many times as fast, for tests that wait for the end of a TTL. A real Consul has no
   * such option.
   */
  speed?: number | undefined;
  /**
   * A real Consul (`consul agent -dev`), which takes some seconds. true: the program that the environment variable
   * CONSUL_BIN names, else `consul` on the PATH. A string: the name of the program.
   * @defaultValue false: a model of Consul that is ready in milliseconds
   */
  real?: boolean | string | undefined;
}

/** The context of a test, as `node:test` gives it to the test's function. */
export interface TestScope {
  /** Takes a function that the runner calls at the end of the test. */
  after(end: () => Promise<void>): unknown;
}

/**
 * A running Consul on a free port of this machine. It ends with this process, however this process ends, and keeps no
 * process alive.
 */
export class Consul {
  /** {@link startConsul} makes it. */
  private constructor();

  /** The address of its HTTP API, such as `127.0.0.1:34567`. */
  readonly address: string;

  /** The client of this Consul, the same at each use. */
  readonly client: Client;

  /** Ends this Consul, and closes its client. A second call does nothing. */
  stop(): Promise<void>;

  /** Does what {@link Consul.stop} does. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a Consul: `consul-lock dev`, which is found on the PATH, or by its name in the environment variable
 * CONSUL_LOCK_COMMAND.
 *
 * @param test The test that needs the Consul, which ends with that test. Without a test, as in the `before` of a suite,
 *   the caller calls {@link Consul.stop}.
 * @returns a promise that is fulfilled when the Consul serves. It is rejected if there is no such program, or if the
 *   program does not serve; the message says what to install.
 */
export function startConsul(test?: TestScope | null, options?: ConsulOptions): Promise<Consul>;
