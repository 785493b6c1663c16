/// <reference types="node" />

/**
 * Distributed ephemeral locks on Consul, over libconsul_lock.
 *
 * ```js
 * import { hold } from "consul-lock";
 *
 * await hold("nightly-report", async ({ signal }) => {
 *   await makeTheReport({ signal });
 * });
 * ```
 *
 * A critical section that only one process in the whole datacenter may run at a time takes a lock. The
 * lock has a bounded life: a holder that crashes never blocks the others for ever.
 *
 * All promises are rejected with a {@link ConsulLockError}, an aborted signal's reason, or a TypeError for
 * an argument that JavaScript's own functions would refuse, too. Nothing blocks the event loop, and nothing
 * uses the thread pool. A pending call keeps the process alive; a held lock, a client, a listener do not.
 *
 * @packageDocumentation
 */

/** The value of an option that is given by its own name, as in docs/OPTIONS.md. An array is a list with commas. */
export type OptionValue = string | number | bigint | boolean | readonly string[] | undefined;

/**
 * Options of a lock. Each option of the library may also be given by its own name, such as
 * `lock_timeout_seconds`; so may one that is newer than these types. A wrong one is refused with
 * `ERR_CONSUL_LOCK_INVALID_OPTION`, which names it and its range.
 */
export interface LockOptions {
  /**
   * How long an acquire waits for a lock that somebody else holds, in milliseconds: 0 to 86400000.
   * 0: exactly one attempt. `Infinity` or -1: until it is aborted or cancelled.
   * @defaultValue 0
   */
  acquireTimeoutMs?: number | undefined;
  /**
   * The life of a lock that is never released, in seconds: 10 to 86400. Choose it longer than the work
   * under the lock can take. Consul may keep the lock up to twice as long; the holder must never count
   * on that.
   * @defaultValue 180
   */
  lockTimeoutSeconds?: number | undefined;
  /**
   * What is stored under the key while the lock is held: at most 390000 bytes, a text as UTF-8. Others
   * can read it; it is no place for a secret.
   * @defaultValue what the value generator gives, else a JSON object with `locked_at`
   */
  value?: string | Uint8Array | undefined;
  /**
   * Whether the library renews the lock while it is held, every third of `lockTimeoutSeconds`, until it
   * is released or lost.
   * @defaultValue false
   */
  autoRenew?: boolean | undefined;
  /**
   * With `autoRenew`: how long after the acquire the lock is renewed, in seconds: 0 to 31536000.
   * 0: no limit.
   * @defaultValue 0
   */
  maxLifetimeSeconds?: number | undefined;
  /**
   * Whether a lock that is held for longer than a second is watched, so that a loss is told in a round
   * trip and not at the end of its time. Takes a connection; of a client at most 10 are watched.
   * @defaultValue true
   */
  monitor?: boolean | undefined;
  /**
   * Whether a waiting acquire stands in line with the other processes, first come first served.
   * false: all try when the lock is given back, and luck decides.
   * @defaultValue true
   */
  fair?: boolean | undefined;
  /**
   * How long whoever is first in line may leave the lock free before the next one passes it, in
   * milliseconds: 10 to 60000.
   * @defaultValue 300
   */
  queueGraceMs?: number | undefined;
  /** The client to use, instead of the process-wide default. */
  client?: Client | undefined;
  [name: `${string}_${string}`]: OptionValue;
}

/**
 * Options of a client; see {@link LockOptions} for names and refusals. An option wins over the environment, which
 * is read when the client is made: that of the process. A variable of which this thread's `process.env` says
 * otherwise (a worker's is a copy) is refused with `ERR_CONSUL_LOCK_INVALID_ENVIRONMENT`.
 */
export interface ClientOptions {
  /**
   * Where Consul's HTTP API is: `host:port`, `http://host:port`, `https://host:port` or `unix:///path`; after a
   * host and port also a path. Best the agent on the same machine. Several are tried in order: one that cannot
   * be reached or cannot serve comes last for 10 seconds.
   * @defaultValue the environment's CONSUL_HTTP_ADDR, else `127.0.0.1:8500`
   */
  address?: string | readonly string[] | undefined;
  /**
   * Whether to speak TLS to every address, `http://` or not. An address with `https://` does in any case.
   * @defaultValue the environment's CONSUL_HTTP_SSL, else false
   */
  ssl?: boolean | undefined;
  /**
   * Whether Consul's certificate must be of a CA that we trust, and be for the name that we connect to. false is
   * for experiments: whoever stands in between can read the token. The log warns of it.
   * @defaultValue the environment's CONSUL_HTTP_SSL_VERIFY, else true
   */
  sslVerify?: boolean | undefined;
  /**
   * A file with the certificates, in PEM, of the CAs that Consul's certificate may be of, in place of the
   * system's.
   * @defaultValue the environment's CONSUL_CACERT, else the system's CAs
   */
  caFile?: string | undefined;
  /**
   * A folder with such files; not used if there is a `caFile`.
   * @defaultValue the environment's CONSUL_CAPATH, else none
   */
  caPath?: string | undefined;
  /**
   * A file with our certificate in PEM, and those between it and its CA, for an agent with `verify_incoming`.
   * Needs `clientKey`.
   * @defaultValue the environment's CONSUL_CLIENT_CERT, else none
   */
  clientCert?: string | undefined;
  /**
   * A file with the private key of `clientCert` in PEM, not encrypted: PKCS#8, PKCS#1 or SEC1.
   * @defaultValue the environment's CONSUL_CLIENT_KEY, else none
   */
  clientKey?: string | undefined;
  /**
   * The name that Consul's certificate must be for, such as `server.dc1.consul`; also sent as SNI.
   * @defaultValue the environment's CONSUL_TLS_SERVER_NAME, else the host of the address
   */
  tlsServerName?: string | undefined;
  /**
   * The ACL token to send. It needs `session:write` on the agent's node and `key:write` on the lock keys;
   * docs/acl.md has the policies. Wins over `tokenFile`. Empty: send none, even if the environment has one. Never
   * logged.
   * @defaultValue the environment's CONSUL_HTTP_TOKEN, else none
   */
  token?: string | undefined;
  /**
   * A file with the ACL token; white space around it does not count. It is read when the client is made, and
   * again, by its path, when Consul refuses the token: so a token that was replaced meanwhile is found.
   * @defaultValue the environment's CONSUL_HTTP_TOKEN_FILE, else none
   */
  tokenFile?: string | undefined;
  /**
   * User and password, as `user:password`, for a proxy in front of Consul that wants HTTP basic authentication.
   * Never logged.
   * @defaultValue the environment's CONSUL_HTTP_AUTH, else none
   */
  httpAuth?: string | undefined;
  /**
   * An HTTP proxy, as `http://host:port`, through which Consul is reached (by CONNECT). HTTP_PROXY and its kind
   * are not used.
   * @defaultValue none
   */
  proxy?: string | undefined;
  /**
   * The datacenter in which the locks live. Locks in two datacenters know nothing of each other. Another one than
   * the agent's own needs `sessionNode`.
   * @defaultValue the agent's own
   */
  datacenter?: string | undefined;
  /**
   * The namespace in which the locks live (Consul Enterprise).
   * @defaultValue the environment's CONSUL_NAMESPACE, else that of the token
   */
  namespace?: string | undefined;
  /**
   * The admin partition in which the locks live (Consul Enterprise).
   * @defaultValue the environment's CONSUL_PARTITION, else that of the agent
   */
  partition?: string | undefined;
  /**
   * What the names of sessions begin with: others are told it as {@link Holder.name}. A unique ending is added.
   * @defaultValue `consul_lock PROGRAM@HOST:PID`
   */
  sessionName?: string | undefined;
  /**
   * A node of Consul's catalog that no agent owns, such as `locks`, to bind sessions to: they then outlive every
   * agent. Consul ends the sessions of a node that it removes, as it does with a server that was down for some ten
   * seconds or an agent that leaves. The library makes the node when it is missing and the token may
   * (`node:write`). Not together with `sessionChecks`.
   * @defaultValue the agent's own
   */
  sessionNode?: string | undefined;
  /**
   * Checks of the agent's node by their ids, such as `serfHealth`. When one of them is critical, the session ends,
   * and its lock with it. Without any, a check that flaps takes no lock away; a crash is noticed when the TTL is
   * over.
   * @defaultValue none
   */
  sessionChecks?: string | readonly string[] | undefined;
  /**
   * For how long nobody can take a lock that was lost, in milliseconds: 0 to 60000. Time for a holder that does not
   * know it yet. A lock that is given back is free at once. A change of leader ends it.
   * @defaultValue 0
   */
  lockDelayMs?: number | undefined;
  /**
   * The flags of lock keys: 0 to 2^63 - 1. The default is what Consul's Go client uses, which refuses to wait for a
   * lock whose key has others.
   * @defaultValue 3304740253564472344n
   */
  flags?: bigint | number | undefined;
  /**
   * How long to try to connect to an address, the TLS handshake included, in milliseconds: 1 to 600000.
   * @defaultValue 2000
   */
  connectTimeoutMs?: number | undefined;
  /**
   * How long one request may take, in milliseconds: 1 to 600000; also the limit of an acquire with
   * `acquireTimeoutMs` 0.
   * @defaultValue 10000
   */
  requestTimeoutMs?: number | undefined;
  /**
   * How long a release waits for Consul's confirmation, in milliseconds: 1 to 600000. After that the
   * library goes on in the background.
   * @defaultValue 2000
   */
  releaseTimeoutMs?: number | undefined;
  /**
   * Connections to Consul at most: 4 to 200. An agent allows 200 from one IP address unless it is told otherwise.
   * Fewer connections never fail a wait: keys then share, and take turns.
   * @defaultValue 32
   */
  maxConnections?: number | undefined;
  [name: `${string}_${string}`]: OptionValue;
}

/** How an acquire can be ended from outside. All other options are those of the lock: here they are a TypeError. */
export interface AcquireOptions {
  /**
   * Ends the wait at once: the promise is rejected with the signal's reason, and nothing is left in
   * Consul. An acquire that was won a moment before is given back first.
   */
  signal?: AbortSignal | undefined;
}

/**
 * A lock on one key. Single use: acquire it once, release it, and make a new one for the next round; that
 * costs nothing.
 *
 * A lock that is held but not reachable any more is not released by the garbage collector: it stays in
 * Consul until its TTL ends it, and `process` emits a warning, once. While {@link ConsulLock.signal} or
 * {@link ConsulLock.onLost} listens, a held lock stays reachable.
 */
export class ConsulLock {
  /**
   * Makes a lock. Reads the options, the defaults and, for the default client, the environment; sends
   * nothing.
   *
   * @param key - What to lock. It is put into the default `lockKeyPattern` to make the key in Consul's KV
   *   store, which has at most 60000 bytes as it stands in a URL: one for each letter or digit of ASCII and
   *   `-._~/`, three for every other byte of UTF-8. Refused are keys that Consul would change or refuse: with
   *   a leading `/`, an empty, `.` or `..` segment, characters that cannot be printed, spaces at either end.
   * @throws {@link ConsulLockError}: INVALID_ARGUMENT for the key, INVALID_OPTION, INVALID_ENVIRONMENT.
   */
  constructor(key: string, options?: LockOptions | null);

  /**
   * Takes the lock, waiting up to `acquireTimeoutMs`. Who waits is served in the order of coming, within
   * the process and between processes. A lock is used up by its first acquire, whatever the outcome
   * (VALUE_FAILED, and a signal that was aborted before, excepted).
   *
   * Rejected with NOT_ACQUIRED (somebody else had it until the deadline; the message says who),
   * CANCELLED, ALREADY_USED, VALUE_FAILED, UNAVAILABLE, DENIED, REJECTED, or the reason of the signal.
   */
  acquire(options?: AcquireOptions): Promise<void>;

  /** As {@link ConsulLock.acquire}, but NOT_ACQUIRED, and nothing else, becomes `false`. */
  tryAcquire(options?: AcquireOptions): Promise<boolean>;

  /**
   * Gives the lock back and removes its key. Can only ever touch this very lock. A pending acquire is
   * cancelled and undone.
   *
   * Fulfilled with `true` if it was held until now, and `false` if there was nothing to give back.
   * Rejected with LOST, once, if it had been lost before: others may have worked meanwhile. With
   * UNCONFIRMED if Consul did not confirm within `releaseTimeoutMs`: the library goes on in the background
   * while the process lives, and `shutdown()` waits for that.
   */
  release(): Promise<boolean>;

  /**
   * Extends the life of a held lock: `lockTimeoutSeconds` from now. Rejected with LOST (it is not ours any
   * more: stop the work), NOT_HELD, UNAVAILABLE (it is held until `remainingMs` is 0), DENIED, REJECTED.
   */
  renew(): Promise<void>;

  /**
   * Asks Consul whether the lock is still held: also finds a lock that an operator took away. Does not
   * extend its life. Rejected as {@link ConsulLock.renew}.
   */
  check(): Promise<void>;

  /**
   * Writes a key of Consul's KV store, in one transaction with a check that this lock is held: who lost
   * it, known or not, cannot write.
   *
   * Rejected with LOST (nothing was written), UNCONFIRMED (Consul's answer was lost: it may have been
   * written, or may be later, while the lock is in Consul), NOT_HELD, INVALID_ARGUMENT, UNAVAILABLE, DENIED,
   * REJECTED (nothing was written).
   *
   * @param key - As it stands in the KV store, not put into `lockKeyPattern`; not this lock's own.
   * @param value - At most 390000 bytes; a text is stored as UTF-8.
   */
  putIfHeld(key: string, value: string | Uint8Array): Promise<void>;

  /** Deletes a key of Consul's KV store in the same way. A key that does not exist is fine. */
  deleteIfHeld(key: string): Promise<void>;

  /**
   * Ends a pending acquire at once: it is rejected with CANCELLED, and undone. Sticky: an acquire that
   * comes later is, too. Does nothing to a lock that is held. For a single call use its `signal`.
   */
  cancel(): void;

  /**
   * Frees the lock without giving it back and without a request: a held one stays in Consul until its
   * TTL ends it. For work that may be done only once per TTL. A pending acquire is cancelled.
   */
  abandon(): void;

  /**
   * Ends this object: gives the lock back if it is held, and frees it. Never rejected: what goes wrong
   * with the release is in the log. May be called again.
   */
  close(): Promise<void>;

  /**
   * For `await using lock = …`: as {@link ConsulLock.close}, but rejected as {@link ConsulLock.release} is,
   * so that a block whose lock was lost does not pass for a success.
   */
  [Symbol.asyncDispose](): Promise<void>;

  /**
   * Aborted when the lock is lost, once, at the end of its life at the latest; the reason is a
   * {@link ConsulLockError} with `lostReason`. Never aborted for a lock that was given back or abandoned.
   * A lock that is lost already is told of soon.
   */
  get signal(): AbortSignal;

  /**
   * Has `callback` called once with the error when the lock is lost, as {@link ConsulLock.signal} says. What
   * it throws is an uncaught exception, as in any listener.
   */
  onLost(callback: (error: ConsulLockError) => void): void;

  /** The full key: where the lock lives in the KV store, such as `locks/ephemeral/nightly-report`. */
  get key(): string;

  /**
   * Whether the lock is held, as far as this process can know by its own clock: from a successful acquire
   * until the release, the end of its life, or a loss that was noticed. Asks nobody.
   */
  get isHeld(): boolean;

  /**
   * How much is left of the lock's life, in milliseconds, rounded down, by a clock that counts while
   * the machine sleeps; 0 when it is not held. Asks nobody.
   */
  get remainingMs(): number;

  /**
   * A number that grows with every acquisition of this key. Send it along with what you write, and let
   * the receiver refuse a smaller one than it has seen. `0n` before the lock was acquired; stays when
   * it is over.
   *
   * It is a BigInt because it is one of 64 bits: a Number would round a large one, and two holders would
   * look the same. `BigInt(text)` reads it back, and `<` also compares it with Numbers.
   */
  get fencingToken(): bigint;

  /** The id of the Consul session that holds, or held, the lock; empty before it was acquired. */
  get sessionId(): string;
}

/** What the block of {@link hold} is given. */
export interface Held {
  /** Aborted when the lock is lost, or the `signal` of {@link HoldOptions}: stop the work. */
  signal: AbortSignal;
  /** {@link ConsulLock.fencingToken} */
  fencingToken: bigint;
  /** To renew, check, or write under; the block may give it back itself. */
  lock: ConsulLock;
}

/** Options of {@link hold}. */
export interface HoldOptions extends LockOptions, AcquireOptions {}

/**
 * Takes the lock, runs the block, and gives the lock back, also when the block fails. Fulfilled with what the
 * block returns.
 *
 * Rejected as {@link ConsulLock.acquire}, and then the block did not run; with the block's own error, which
 * wins over one of the release; with LOST when the block ended well but the lock was lost meanwhile.
 */
export function hold<T>(key: string, block: (held: Held) => T | PromiseLike<T>): Promise<T>;
export function hold<T>(
  key: string,
  options: HoldOptions | null | undefined,
  block: (held: Held) => T | PromiseLike<T>,
): Promise<T>;

/** How to reach Consul, and what the locks that use it share: connections, sessions kept at hand. */
export class Client {
  /**
   * Makes a client. Sends nothing: a Consul that cannot be reached shows at the first use.
   *
   * @throws {@link ConsulLockError}: INVALID_OPTION, INVALID_ENVIRONMENT.
   */
  constructor(options?: ClientOptions | null);

  /** As the function {@link holder}, with this client. */
  holder(key: string): Promise<Holder | null>;

  /** As the function {@link stats}, of this client. */
  stats(): Stats;

  /** Gives up this object's reference to the client. Locks that use it, and the default, keep theirs. */
  close(): void;

  /** As {@link Client.close}. */
  [Symbol.dispose](): void;
}

/** Who held a lock at the moment when Consul was asked. */
export interface Holder {
  /** The id of the session that holds the lock. */
  session: string;
  /**
   * The name of that session; for a lock of this library, such as `consul_lock PROGRAM@HOST:PID NONCE`.
   * Empty: Consul would not say.
   */
  name: string;
  /** The Consul node through which the session was made. Empty: Consul would not say. */
  node: string;
  /** What is stored under the key. Data of somebody else: trust nothing in it. */
  value: Buffer;
  /** The fencing token of the holder's lock: it grows from holder to holder. */
  fencingToken: bigint;
  /** When the lock was taken, by the holder's clock; `null`: the stored value does not say it. */
  since: Date | null;
  /** The TTL of the session in milliseconds; 0: it has none, or Consul would not say. */
  ttlMs: number;
}

/**
 * Asks Consul who holds the lock on a key; `null`: nobody.
 *
 * Rejected with INVALID_ARGUMENT, INVALID_ENVIRONMENT, UNAVAILABLE, DENIED, REJECTED.
 */
export function holder(
  key: string,
  options?: { client?: Client | undefined },
): Promise<Holder | null>;

/** How long something took, in microseconds; percentiles are at most an eighth too large. */
export interface Timing {
  /** How often it happened. */
  count: number;
  /** The median. */
  p50: number;
  /** Nine of ten were quicker. */
  p90: number;
  /** 99 of 100 were quicker. */
  p99: number;
  /** The slowest. */
  max: number;
}

/** What this process did with a client until now. Later versions may add fields. */
export interface Stats {
  /** Requests by kind, such as `lock`, `unlock`, `watch`. */
  requests: Record<string, number>;
  /** Writing requests that Consul carried out or refused by its log: each costs an fsync on a quorum. */
  raft_writes: number;
  /** Requests without a usable answer. */
  unanswered: number;
  /** Pauses after which something was tried again. */
  retries: number;
  /** Locks that are being acquired now. */
  waiting: number;
  /** Locks that are held now. */
  held: number;
  /** Locks that were lost. */
  lost: number;
  /** Open connections, now. */
  connections: number;
  /** Open connections, at most. */
  connections_peak: number;
  /** Threads of the library for this client, now. */
  threads: number;
  /** How long successful acquires took. */
  acquire_us: Timing;
  /** How long locks were held, until the release began or they were lost. */
  hold_us: Timing;
}

/**
 * The statistics of the default client. Asks nobody.
 *
 * @throws {@link ConsulLockError}: INVALID_ENVIRONMENT, if there is no such client.
 */
export function stats(): Stats;

/**
 * Sets a default for locks that are made from now on, in all threads of the process: `acquireTimeoutMs`,
 * `lockTimeoutSeconds` or `lockKeyPattern` (where lock keys live: a text with exactly one `%s`, which
 * becomes the key; `locks/ephemeral/%s` at the beginning).
 *
 * @throws {@link ConsulLockError}: INVALID_OPTION, and nothing was changed.
 */
export function setDefault(name: string, value: string | number | bigint | boolean): void;

/**
 * Sets the client of the locks that are given none, in all threads of the process. Locks that exist keep
 * theirs. `null`: back to the one from the environment, which is made once, at its first use.
 */
export function setDefaultClient(client: Client | null): void;

/**
 * Sets what makes the value that a lock stores under its key, for the locks that this thread makes from now
 * on without an option `value`. It is called in each acquire, before anything is sent. If it throws, or gives
 * something else, the acquire is rejected with VALUE_FAILED, the exception as its cause, and the lock can be
 * used again. `null`: back to a JSON object with `locked_at`.
 */
export function setValueGenerator(generator: (() => string | Uint8Array) | null): void;

/** How important a line of the log is, the most important first. */
export type LogLevel = "error" | "warn" | "info" | "debug";

/**
 * Sets who is told what the library has to say: locks that were lost, releases that Consul did not confirm,
 * outages that last. One for the whole process: it takes the place of the one before, also of another
 * thread's. Lines never contain a token or a stored value. `null`: nobody, as at the beginning.
 *
 * It does not keep the process alive. What it throws is an uncaught exception.
 */
export function setLogger(
  logger: ((level: LogLevel, line: string) => void) | null,
  options?: {
    /**
     * The least important level that is told.
     * @defaultValue "info"
     */
    level?: LogLevel | undefined;
  },
): void;

/**
 * Waits for the releases that are still under way, and ends the sessions that the library keeps at hand: the
 * one call for an orderly exit. It is optional: after a release that was UNCONFIRMED, Consul removes the lock
 * by itself after up to two TTLs. Locks and clients stay usable afterwards.
 *
 * Rejected with UNCONFIRMED if something was still under way at the end of the time.
 */
export function shutdown(options?: {
  /**
   * How long to wait at most, in milliseconds: 0 to 86400000.
   * @defaultValue 30000
   */
  timeoutMs?: number | undefined;
}): Promise<void>;

/** The version of the native library that runs. */
export const version: string;

/** What `code` can be; a later version may add some. */
export type ErrorCode =
  | "ERR_CONSUL_LOCK_INVALID_ARGUMENT"
  | "ERR_CONSUL_LOCK_INVALID_OPTION"
  | "ERR_CONSUL_LOCK_INVALID_ENVIRONMENT"
  | "ERR_CONSUL_LOCK_ALREADY_USED"
  | "ERR_CONSUL_LOCK_VALUE_FAILED"
  | "ERR_CONSUL_LOCK_NOT_ACQUIRED"
  | "ERR_CONSUL_LOCK_CANCELLED"
  | "ERR_CONSUL_LOCK_LOST"
  | "ERR_CONSUL_LOCK_NOT_HELD"
  | "ERR_CONSUL_LOCK_UNCONFIRMED"
  | "ERR_CONSUL_LOCK_UNAVAILABLE"
  | "ERR_CONSUL_LOCK_DENIED"
  | "ERR_CONSUL_LOCK_REJECTED"
  | "ERR_CONSUL_LOCK_INTERNAL"
  | "ERR_CONSUL_LOCK_FORKED"
  | "ERR_CONSUL_LOCK_NO_RESOURCES"
  | "ERR_CONSUL_LOCK_UNKNOWN";

/** How a lock was lost. */
export type LostReason = "EXPIRED" | "SESSION_GONE" | "KEY_GONE" | "TAKEN_OVER" | "UNKNOWN";

/** Why a call failed. The message says what, on which key and address, what Consul said and what to do. */
export class ConsulLockError extends Error {
  /** For tests of one's own code: the library makes its errors itself. */
  constructor(
    status: number,
    message: string,
    details?: {
      httpStatus?: number | undefined;
      retryable?: boolean | undefined;
      lostReason?: LostReason | undefined;
      cause?: unknown;
    },
  );
  /** What kind of error this is. */
  name: "ConsulLockError";
  /** What to compare with. */
  code: ErrorCode;
  /** The number of the status in consul_lock.h. */
  status: number;
  /** The HTTP status with which Consul answered, if that is why. */
  httpStatus?: number;
  /**
   * Whether the same may well work later without any change: somebody had the lock, or Consul could not be
   * reached. A lock is single use: try again with a new one.
   */
  retryable: boolean;
  /** How the lock was lost, in the reason of {@link ConsulLock.signal} and what `onLost` is told. */
  lostReason?: LostReason;
  /** For VALUE_FAILED: what the value generator threw. */
  cause?: unknown;
}
