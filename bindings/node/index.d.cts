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
 * A lock is for work that one process at a time may do in the whole datacenter. A lock has a bounded life, so a holder
 * that crashes does not block the others for ever.
 *
 * A promise is rejected with a {@link ConsulLockError}, with an aborted signal's reason, or with a TypeError for an
 * argument of the wrong type. No call blocks the event loop or uses the thread pool. A pending call keeps the process
 * alive. A held lock, a client or a listener does not.
 *
 * @packageDocumentation
 */

/** The value of an option that is written by its own name, as in docs/OPTIONS.md. An array is a list. */
export type OptionValue = string | number | bigint | boolean | readonly string[] | undefined;

/**
 * Options of a lock. A program may also write an option by its own name, such as `lock_timeout_seconds`, and so use
 * options that are newer than these types. A wrong option is refused with `ERR_CONSUL_LOCK_INVALID_OPTION`, whose
 * message has the option and its range.
 */
export interface LockOptions {
  /**
   * How long an acquire waits for the lock of another holder, in milliseconds: 0 to 86400000. 0: exactly one attempt.
   * `Infinity` or -1: until an abort or a cancel.
   * @defaultValue 0
   */
  acquireTimeoutMs?: number | undefined;
  /**
   * The life of a lock without a release or a renewal, in seconds: 10 to 86400. It should be longer than the work
   * under the lock can take. Consul may keep the lock up to twice as long, on which the holder must not rely.
   * @defaultValue 180
   */
  lockTimeoutSeconds?: number | undefined;
  /**
   * Whether the lock shares its key: all locks that share a key hold it at the same time, but never beside an exclusive
   * lock. All wait in one line, so readers do not starve a writer, nor writers a reader.
   * @defaultValue false, but true with `limit`
   */
  share?: boolean | undefined;
  /**
   * How many locks may share the key at once: 1 to 1024. Each holder has a {@link ConsulLock.slot} below the limit. All
   * locks that share a key need the same limit; another one is CONFLICT. With `share: false` it is the limit after
   * a {@link ConsulLock.downgrade}.
   * @defaultValue no limit, and no slot
   */
  limit?: number | undefined;
  /**
   * The library's own option for `share`, which replaces it: `"share"` or `"exclusive"`.
   * @defaultValue "exclusive"
   */
  mode?: "exclusive" | "share" | undefined;
  /**
   * The value under the key while the lock is held: at most 390000 bytes, a text as UTF-8. A lock that shares its key
   * stores at most 512 bytes, because each exclusive waiter reads the values of all. Other processes read a value, so it
   * must not contain a secret.
   * @defaultValue the value of the value generator, else a JSON object with `locked_at`
   */
  value?: string | Uint8Array | undefined;
  /**
   * Whether the library renews the lock every third of `lockTimeoutSeconds`, until the release or a loss.
   * @defaultValue false
   */
  autoRenew?: boolean | undefined;
  /**
   * The limit of `autoRenew`, in seconds after the acquire: 0 to 31536000. 0: no limit.
   * @defaultValue 0
   */
  maxLifetimeSeconds?: number | undefined;
  /**
   * Whether the library watches a lock that is held for longer than a second, so that it reports a loss within a round
   * trip and not at the end of the lock's life. A watch occupies a connection, and a client has at most 10 watches.
   * @defaultValue true
   */
  monitor?: boolean | undefined;
  /**
   * Whether a waiting acquire joins the line of waiters of all processes, first come, first served. false: all waiters
   * try after a release, and luck decides.
   * @defaultValue true
   */
  fair?: boolean | undefined;
  /**
   * How long the first waiter in line may leave the lock free before the next waiter passes it, in milliseconds: 10 to
   * 60000.
   * @defaultValue 300
   */
  queueGraceMs?: number | undefined;
  /** The client of the lock, instead of the default client. */
  client?: Client | undefined;
  [name: `${string}_${string}`]: OptionValue;
}

/**
 * Options of a client; see {@link LockOptions} for names and refusals. An option overrides the environment of the
 * process, which the library reads when it makes the client. A variable that has another value in this thread's
 * `process.env` (a worker's is a copy) is refused with `ERR_CONSUL_LOCK_INVALID_ENVIRONMENT`.
 */
export interface ClientOptions {
  /**
   * Where Consul's HTTP API is: `host:port`, `http://host:port`, `https://host:port` or `unix:///path`. A path may
   * follow the port. The agent on the same machine is best. The library tries several addresses in order, and an
   * address that fails comes last for 10 seconds.
   * @defaultValue the environment's CONSUL_HTTP_ADDR, else `127.0.0.1:8500`
   */
  address?: string | readonly string[] | undefined;
  /**
   * Whether to speak TLS to every address. The library speaks TLS to an `https://` address in any case.
   * @defaultValue the environment's CONSUL_HTTP_SSL, else false
   */
  ssl?: boolean | undefined;
  /**
   * Whether a trusted CA must have signed Consul's certificate, for the name that the library connects to. false is for
   * experiments: an attacker between the program and Consul can then read the token. The log warns of it.
   * @defaultValue the environment's CONSUL_HTTP_SSL_VERIFY, else true
   */
  sslVerify?: boolean | undefined;
  /**
   * A PEM file with the CAs that the library trusts, instead of the system's CAs.
   * @defaultValue the environment's CONSUL_CACERT, else the system's CAs
   */
  caFile?: string | undefined;
  /**
   * A folder with such files. `caFile` overrides it.
   * @defaultValue the environment's CONSUL_CAPATH, else none
   */
  caPath?: string | undefined;
  /**
   * A PEM file with the client's certificate, and those between it and its CA, for an agent with `verify_incoming`.
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
   * docs/acl.md has the policies. Overrides `tokenFile`. With an empty token the library sends none, even if the
   * environment has one. The library never logs it.
   * @defaultValue the environment's CONSUL_HTTP_TOKEN, else none
   */
  token?: string | undefined;
  /**
   * A file with the ACL token, with or without white space around it. The library reads the file when it makes the
   * client, and again when Consul refuses the token, so it finds a replaced token.
   * @defaultValue the environment's CONSUL_HTTP_TOKEN_FILE, else none
   */
  tokenFile?: string | undefined;
  /**
   * User and password, as `user:password`, for a proxy in front of Consul that demands HTTP basic authentication. The
   * library never logs them.
   * @defaultValue the environment's CONSUL_HTTP_AUTH, else none
   */
  httpAuth?: string | undefined;
  /**
   * An HTTP proxy, as `http://host:port`, through which the library reaches Consul (by CONNECT). The library does not
   * read HTTP_PROXY, HTTPS_PROXY or NO_PROXY.
   * @defaultValue none
   */
  proxy?: string | undefined;
  /**
   * The datacenter in which the locks live. Locks of the same key in two datacenters are two locks. Another datacenter
   * than the agent's own needs `sessionNode`.
   * @defaultValue the agent's own
   */
  datacenter?: string | undefined;
  /**
   * The namespace in which the locks live (Consul Enterprise).
   * @defaultValue the environment's CONSUL_NAMESPACE, else the token's own
   */
  namespace?: string | undefined;
  /**
   * The admin partition in which the locks live (Consul Enterprise).
   * @defaultValue the environment's CONSUL_PARTITION, else the agent's own
   */
  partition?: string | undefined;
  /**
   * The beginning of the names of sessions, which other processes see as {@link Holder.name}. The library adds a unique
   * ending.
   * @defaultValue `consul_lock PROGRAM@HOST:PID`
   */
  sessionName?: string | undefined;
  /**
   * A node of Consul's catalog that no agent owns, such as `locks`, for sessions that outlive every agent. Consul ends
   * the sessions of a node that it removes, such as an agent that leaves, or a server that was down for some ten
   * seconds. The library makes a missing node if the token has `node:write`. `sessionNode` and `sessionChecks` exclude
   * each other.
   * @defaultValue the agent's own
   */
  sessionNode?: string | undefined;
  /**
   * Checks of the agent's node by their ids, such as `serfHealth`. When one of them is critical, the session ends and
   * the lock is lost. Without checks, a check that flaps costs no lock, and Consul notices a crash at the end of the
   * TTL.
   * @defaultValue none
   */
  sessionChecks?: string | readonly string[] | undefined;
  /**
   * For how long Consul refuses every acquire of a lock that was lost, in milliseconds: 0 to 60000. The delay is time
   * for a holder that does not know of the loss yet. A released lock is free at once. A change of Consul's leader ends
   * the delay.
   * @defaultValue 0
   */
  lockDelayMs?: number | undefined;
  /**
   * The flags of lock keys: 0 to 2^63 - 1. The default is the value of Consul's own Go client, which refuses to wait for
   * a lock with other flags.
   * @defaultValue 3304740253564472344n
   */
  flags?: bigint | number | undefined;
  /**
   * How long the library tries to connect to an address, the TLS handshake included, in milliseconds: 1 to 600000.
   * @defaultValue 2000
   */
  connectTimeoutMs?: number | undefined;
  /**
   * How long one request may take, in milliseconds: 1 to 600000. An acquire with `acquireTimeoutMs` 0 takes no longer.
   * @defaultValue 10000
   */
  requestTimeoutMs?: number | undefined;
  /**
   * How long a release waits for Consul's confirmation, in milliseconds: 1 to 600000. After that the
   * library goes on in the background.
   * @defaultValue 10000
   */
  releaseTimeoutMs?: number | undefined;
  /**
   * The largest number of connections to Consul: 4 to 200. By default an agent allows 200 from one IP address. A wait
   * never fails for want of a connection: keys share connections and take turns.
   * @defaultValue 32
   */
  maxConnections?: number | undefined;
  [name: `${string}_${string}`]: OptionValue;
}

/** The option of an acquire. All other options are those of the lock, and are a TypeError here. */
export interface AcquireOptions {
  /**
   * Ends the wait at once: the promise is rejected with the signal's reason, and the library leaves nothing behind in
   * Consul. If the reason is an Error without a cause, its `cause` is the library's error, which names the holder. An
   * acquire that has just succeeded is released first.
   */
  signal?: AbortSignal | undefined;
}

/** The options of an upgrade. */
export interface UpgradeOptions {
  /**
   * How long the upgrade waits for the other locks that share the key, in milliseconds: 0 to 86400000. 0: not at all.
   * `Infinity`: until an abort or a cancel.
   * @defaultValue `Infinity` with a `signal`, else 0
   */
  timeoutMs?: number | undefined;
  /**
   * Ends the wait at once: the promise is rejected with the signal's reason, and the lock still shares its key. If the
   * reason is an Error without a cause, its `cause` is the library's error. An abort after the upgrade has succeeded
   * changes nothing.
   */
  signal?: AbortSignal | undefined;
}

/**
 * A lock on one key, or on several. A lock is single use: a program acquires it once, releases it, and makes a new one
 * for the next round, which costs nothing.
 *
 * The garbage collector does not release a held lock: the lock stays in Consul until its TTL ends, and `process` emits
 * one warning. A listener of {@link ConsulLock.signal} or {@link ConsulLock.onLost} keeps a held lock reachable.
 */
export class ConsulLock {
  /**
   * Makes a lock. Reads the options, the defaults and, for the default client, the environment. Sends nothing.
   *
   * @param key - The name of the work. The default `lockKeyPattern` makes of it the key in Consul's KV store, which has
   *   at most 60000 bytes when percent-encoded. A key that Consul would change or refuse is refused: with a leading `/`,
   *   an empty, `.`, `..`, `.fifo` or `.share` segment, characters that cannot be printed, or spaces at either end. An
   *   array makes one lock on 1 to 30 keys, which an acquire takes as a whole or not at all, in one transaction. Such
   *   locks never wait for each other in a circle, whatever the order of their keys. A lock on several keys is exclusive.
   * @throws {@link ConsulLockError}: INVALID_ARGUMENT for the key, INVALID_OPTION, INVALID_ENVIRONMENT.
   */
  constructor(key: string | readonly string[], options?: LockOptions | null);

  /**
   * Takes the lock, and waits up to `acquireTimeoutMs`. Waiters are served first come, first served, within a process
   * and between processes. The first acquire uses the lock up, whatever the outcome, except VALUE_FAILED and a signal
   * that was aborted before.
   *
   * Rejected with NOT_ACQUIRED (the lock was not free until the deadline, and the message names the holder), CONFLICT
   * (others share the key with another `limit`, and the message has both), CANCELLED, ALREADY_USED, VALUE_FAILED, UNAVAILABLE, DENIED, REJECTED, or the reason of the signal.
   */
  acquire(options?: AcquireOptions): Promise<void>;

  /** Does what {@link ConsulLock.acquire} does, but is fulfilled with `false` instead of rejected with NOT_ACQUIRED. */
  tryAcquire(options?: AcquireOptions): Promise<boolean>;

  /**
   * Releases the lock and removes its key. Never touches the lock of another holder. Cancels and undoes a pending
   * acquire.
   *
   * Fulfilled with `true` if the lock was held until now, and with `false` if the lock was not held. Rejected with LOST,
   * once, if the lock had been lost before: others may have worked meanwhile. Rejected with UNCONFIRMED if Consul did
   * not confirm within `releaseTimeoutMs`: the library goes on in the background while the process lives, and
   * `shutdown()` waits for that.
   */
  release(): Promise<boolean>;

  /**
   * Starts the life of a held lock anew: `lockTimeoutSeconds` from now. Rejected with LOST (the lock is lost: stop the
   * work), NOT_HELD, UNAVAILABLE (the lock is held until `remainingMs` is 0), DENIED, REJECTED.
   */
  renew(): Promise<void>;

  /**
   * Asks Consul whether the lock is still held, so it also finds a loss that no notice has reported yet. Does not extend
   * the lock's life. Rejected as {@link ConsulLock.renew}.
   */
  check(): Promise<void>;

  /**
   * Turns an exclusive lock into a share of its key, without a gap: no exclusive lock comes between. Other locks may share
   * the key from then on, at most as many as the option `limit` says. The life of the lock goes on.
   *
   * Rejected with INVALID_ARGUMENT (the lock shares its key already, has several keys, or another change of it is under
   * way), LOST, NOT_HELD, UNAVAILABLE, DENIED or REJECTED.
   */
  downgrade(): Promise<void>;

  /**
   * Turns a share into an exclusive lock, without a gap, so what the holder has read stays true. No other lock takes the
   * key from the first moment on, and the call waits until the others that share the key have released it.
   *
   * Of the locks that share a key only one can be upgraded at a time. The second upgrade is rejected with NOT_ACQUIRED at
   * once: its holder releases its share, because the first upgrade waits for that, and takes a new, exclusive lock.
   *
   * Rejected with NOT_ACQUIRED (the lock still shares its key), CANCELLED or the reason of the signal (the same),
   * INVALID_ARGUMENT (the lock is exclusive already, or another change of it is under way), LOST, NOT_HELD, UNAVAILABLE,
   * DENIED or REJECTED.
   */
  upgrade(options?: UpgradeOptions): Promise<void>;

  /**
   * Writes a key of Consul's KV store in one transaction with a check that this lock is held, so that a former holder
   * cannot write.
   *
   * Rejected with UNCONFIRMED if Consul's answer was lost: Consul may have written the value, or may write it later,
   * while the lock is in Consul. Rejected with LOST, NOT_HELD, INVALID_ARGUMENT, UNAVAILABLE, DENIED or REJECTED if
   * Consul has written nothing.
   *
   * @param key - A plain key of the KV store, but not this lock's. `lockKeyPattern` does not apply.
   * @param value - At most 390000 bytes. A text is stored as UTF-8.
   */
  putIfHeld(key: string, value: string | Uint8Array): Promise<void>;

  /** Deletes a key of Consul's KV store in the same way. A key that does not exist is no error. */
  deleteIfHeld(key: string): Promise<void>;

  /**
   * Ends a pending acquire at once: the acquire is rejected with CANCELLED, and undone. A cancel is sticky: a later
   * acquire is rejected, too. Of a held lock it ends only a pending upgrade, and the lock still shares its key. The
   * `signal` of an acquire ends that acquire alone.
   */
  cancel(): void;

  /**
   * Frees the lock without a release and without a request: a held lock stays in Consul until its TTL ends. It is for
   * work that all processes together may do only once per TTL. Cancels a pending acquire.
   */
  abandon(): void;

  /**
   * Releases a held lock, and frees this object. Never rejected: the log has the error of the release. A second close does
   * nothing.
   */
  close(): Promise<void>;

  /**
   * Does what {@link ConsulLock.close} does, for `await using lock = …`, but is rejected as {@link ConsulLock.release} is,
   * because the work in the scope of a lost lock was not protected.
   */
  [Symbol.asyncDispose](): Promise<void>;

  /**
   * Aborted when the lock is lost, once, at the end of the lock's life at the latest. The reason is a
   * {@link ConsulLockError} with `lostReason`. Never aborted for a released or abandoned lock. The signal of a lock that
   * is lost already is aborted soon.
   */
  get signal(): AbortSignal;

  /**
   * Calls `callback` once with the error when the lock is lost, as {@link ConsulLock.signal} says. An exception of
   * `callback` is an uncaught exception, as in any listener.
   */
  onLost(callback: (error: ConsulLockError) => void): void;

  /** The full key in Consul's KV store, such as `locks/ephemeral/nightly-report`. Of several keys the first. */
  get key(): string;

  /** The full keys, in the order of their bytes. */
  get keys(): readonly string[];

  /**
   * A number from 0 and below the option `limit`, such as the number of a worker. No two locks that share the key at the
   * same time have the same slot. `null`: the lock has no slot, because it was not acquired yet, is exclusive, or has no
   * limit.
   */
  get slot(): number | null;

  /**
   * Whether the lock is held, by this process's own clock: from a successful acquire until the release, the end of the
   * lock's life, or the notice of a loss. Sends nothing.
   */
  get isHeld(): boolean;

  /**
   * The rest of the lock's life in milliseconds, rounded down, by a clock that counts while the machine sleeps. 0 when
   * the lock is not held. Sends nothing.
   */
  get remainingMs(): number;

  /**
   * A number that grows with every acquisition of this key. The holder sends it along with each write, and the receiver
   * refuses a token smaller than one that it has seen. `0n` before the acquire. Afterwards only a downgrade and an upgrade
   * change it, to a larger one. docs/guarantees.md of libconsul_lock says how a receiver compares the tokens of locks that
   * share a key.
   *
   * The token has 64 bits, so it is a BigInt: a Number would round a large token, and two holders would have the same.
   * `BigInt(text)` reads a token back, and `<` also compares it with Numbers.
   */
  get fencingToken(): bigint;

  /** The id of the Consul session that holds, or held, the lock. Empty before the acquire. */
  get sessionId(): string;
}

/** The argument of the block of {@link hold}. */
export interface Held {
  /** Aborted when the lock is lost, or when the `signal` of {@link HoldOptions} is: the block stops its work. */
  signal: AbortSignal;
  /** {@link ConsulLock.fencingToken} at the start of the block */
  fencingToken: bigint;
  /** {@link ConsulLock.slot} at the start of the block */
  slot: number | null;
  /** The lock, which the block may renew, check, write with, or release. */
  lock: ConsulLock;
}

/** Options of {@link hold}. */
export interface HoldOptions extends LockOptions, AcquireOptions {}

/**
 * Acquires the lock, runs the block, and releases the lock, also when the block fails. Fulfilled with the block's value.
 * An array is one lock on several keys.
 *
 * Rejected as {@link ConsulLock.acquire} if the block did not run. Rejected with the block's own error, which has
 * precedence over one of the release. Rejected with LOST if the block ended well but the lock was lost meanwhile.
 */
export function hold<T>(
  key: string | readonly string[],
  block: (held: Held) => T | PromiseLike<T>,
): Promise<T>;
export function hold<T>(
  key: string | readonly string[],
  options: HoldOptions | null | undefined,
  block: (held: Held) => T | PromiseLike<T>,
): Promise<T>;

/** How to reach Consul, and what the client's locks share: connections, sessions, threads. */
export class Client {
  /**
   * Makes a client. Sends nothing: an unreachable Consul fails the first use, not this call.
   *
   * @throws {@link ConsulLockError}: INVALID_OPTION, INVALID_ENVIRONMENT.
   */
  constructor(options?: ClientOptions | null);

  /** Does what the function {@link holder} does, with this client. */
  holder(key: string): Promise<Holder | null>;

  /** Does what the function {@link holders} does, with this client. */
  holders(key: string): Promise<Holders>;

  /** Does what the function {@link observe} does, with this client. */
  observe(key: string, options?: { signal?: AbortSignal | undefined }): Observer;

  /** Gives the statistics of this client, as the function {@link stats}. */
  stats(): Stats;

  /** Gives up this object's reference to the client. Its locks, and the default client, keep references of their own. */
  close(): void;

  /** Does what {@link Client.close} does. */
  [Symbol.dispose](): void;
}

/** The session that held a lock when Consul answered. */
export interface Holder {
  /** The id of the session that holds the lock. */
  session: string;
  /**
   * The name of that session, such as `consul_lock PROGRAM@HOST:PID NONCE` for a lock of this library. Empty: the token
   * has no `session:read`, or the session has no name.
   */
  name: string;
  /** The Consul node of the session. Empty: the token has no `session:read`. */
  node: string;
  /** The value under the key. Another program wrote it, so the caller must not trust it. */
  value: Buffer;
  /** The fencing token of the holder's lock: it grows from holder to holder. */
  fencingToken: bigint;
  /** The time of the acquire, by the holder's clock. `null`: the stored value does not contain it. */
  since: Date | null;
  /** The TTL of the session in milliseconds. 0: the session has none, or the token has no `session:read`. */
  ttlMs: number;
}

/**
 * Asks Consul for the holder of the lock on a key. `null`: the lock is free.
 *
 * Rejected with INVALID_ARGUMENT, INVALID_ENVIRONMENT, UNAVAILABLE, DENIED, REJECTED.
 */
export function holder(
  key: string,
  options?: { client?: Client | undefined },
): Promise<Holder | null>;

/** A session that shares a key. */
export interface Sharer extends Holder {
  /** How many may share the key with this session. `null`: no limit. */
  limit: number | null;
  /** The {@link ConsulLock.slot} of the session. `null`: it has none. */
  slot: number | null;
}

/** A session in the line of a key, for all waiters of one client in one process that want the same. */
export interface Waiter {
  /** The id of the session. */
  session: string;
  /** {@link Holder.name} */
  name: string;
  /** {@link Holder.node} */
  node: string;
  /** {@link Holder.ttlMs} */
  ttlMs: number;
  /** What the session waits for: the key alone, or a share of it. */
  mode: "exclusive" | "share";
  /** How many may share the key with this session. `null`: no limit, or the session waits for the key alone. */
  limit: number | null;
  /** The full keys, if the session waits for several at once. Else empty. */
  keys: string[];
}

/** All sessions that hold a key or wait for it, when Consul answered. */
export interface Holders {
  /** The full key. */
  key: string;
  /**
   * The session that holds the key exclusively. While others still share the key, that session waits until they have
   * ended, and no other session enters.
   */
  exclusive: Holder | null;
  /** The sessions that share the key. */
  sharers: Sharer[];
  /** The sessions that wait, in the order of the line. */
  line: Waiter[];
}

/**
 * Asks Consul for all sessions that hold a key or wait for it. It costs two requests, which are not of one instant, and
 * one for each of the first 64 sessions, whose names it reads.
 *
 * Rejected as {@link holder}.
 */
export function holders(key: string, options?: { client?: Client | undefined }): Promise<Holders>;

/** What an observer knows of the holder of a key. {@link holder} also asks for the name and the node of its session. */
export type ObservedHolder = Pick<Holder, "session" | "value" | "fencingToken" | "since">;

/** The state of an observed key: its exclusive holder, or why the library does not know the holder now. */
export type Observation =
  | {
      /** The exclusive holder. `null`: there is none, or the library does not know. */
      holder: ObservedHolder | null;
      /** Why the library does not know the holder. `null`: it does. */
      error: null;
    }
  | { holder: null; error: ConsulLockError };

/** An observer of the holder of a key: an asynchronous iterator, for `for await`. */
export interface Observer extends AsyncIterableIterator<Observation> {
  /**
   * Waits for the next state that the program has not taken yet, and keeps the process alive meanwhile. Rejected once with
   * the reason of an aborted signal.
   */
  next(): Promise<IteratorResult<Observation, undefined>>;

  /** Ends the observer, as a `break` in `for await` does. */
  return(): Promise<IteratorResult<Observation, undefined>>;

  /** Ends the observer. Pending calls of `next` are fulfilled with `done`. */
  close(): void;

  /** Does what `close` does, for `await using observer = …`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Observes the exclusive holder of a key, for elections and dashboards:
 *
 * ```js
 * for await (const { holder, error } of observe("leader", { signal })) {
 *   console.log(error?.message ?? (holder ? `led by ${holder.value}` : "no leader"));
 * }
 * ```
 *
 * The observer has the present state soon, and a new one whenever another session holds the key, the key became free, or
 * its fencing token changed. It skips states that the program was too slow to take. Sessions that share the key are no
 * holders here; {@link holders} shows them.
 *
 * When Consul refuses to show the key or cannot be reached, the state has an `error` once. The observer goes on, and has
 * the holder again as soon as Consul shows it. An observer does not keep the process alive, but a pending `next` does.
 *
 * @throws {@link ConsulLockError}: INVALID_ARGUMENT, INVALID_ENVIRONMENT, NO_RESOURCES.
 */
export function observe(
  key: string,
  options?: {
    /** The client, instead of the default client. */
    client?: Client | undefined;
    /** Ends the observer: the pending or the next call of `next` is rejected with the signal's reason. */
    signal?: AbortSignal | undefined;
  },
): Observer;

/** Durations in microseconds. A percentile is at most an eighth too large. */
export interface Timing {
  /** The number of durations. */
  count: number;
  /** The median. */
  p50: number;
  /** The 90th percentile. */
  p90: number;
  /** The 99th percentile. */
  p99: number;
  /** The longest duration. */
  max: number;
}

/** The statistics of a client in this process. Later versions of the library may add fields. */
export interface Stats {
  /** The number of requests by kind, such as `lock`, `unlock`, `watch`. */
  requests: Record<string, number>;
  /** The number of writing requests. Each costs an fsync on a quorum of Consul's servers. */
  raft_writes: number;
  /** The number of requests without a usable answer. */
  unanswered: number;
  /** The number of pauses before a repeated request. */
  retries: number;
  /** The number of pending acquires. */
  waiting: number;
  /** The number of held locks. */
  held: number;
  /** The number of lost locks. */
  lost: number;
  /** The number of open connections. */
  connections: number;
  /** The largest number of open connections until now. */
  connections_peak: number;
  /** The number of the library's threads for this client. */
  threads: number;
  /** How long successful acquires took. */
  acquire_us: Timing;
  /** How long locks were held, until the start of the release or the loss. */
  hold_us: Timing;
}

/**
 * Gives the statistics of the default client. Sends nothing.
 *
 * @throws {@link ConsulLockError}: INVALID_ENVIRONMENT, if the library cannot make that client.
 */
export function stats(): Stats;

/**
 * Sets a default of later locks, in all threads of the process: `acquireTimeoutMs`, `lockTimeoutSeconds` or
 * `lockKeyPattern` (the pattern of full keys, in which the key replaces `%s`; at the start it is
 * `locks/ephemeral/%s`).
 *
 * @throws {@link ConsulLockError}: INVALID_OPTION, and the call has changed nothing.
 */
export function setDefault(name: string, value: string | number | bigint | boolean): void;

/**
 * Sets the client of later locks without the option `client`, in all threads of the process. Existing locks keep
 * theirs. `null` restores the client from the environment, which the library makes at the first use.
 */
export function setDefaultClient(client: Client | null): void;

/**
 * Sets the function that makes the value under the key, for later locks of this thread without the option `value`.
 * Each acquire calls the function before it sends anything. If the function throws or returns anything else, the acquire
 * is rejected with VALUE_FAILED, whose `cause` is the exception, and the lock is not used up. `null` restores the JSON
 * object with `locked_at`.
 */
export function setValueGenerator(generator: (() => string | Uint8Array) | null): void;

/** The level of a line of the log, the most important first. */
export type LogLevel = "error" | "warn" | "info" | "debug";

/**
 * Sends the library's log to a function: lost locks, releases that Consul did not confirm, long outages. The process has
 * one logger, which replaces the one before, also that of another thread. A line never contains a token or a stored
 * value. `null`, as at the start, turns the log off.
 *
 * A logger does not keep the process alive. Its exception is an uncaught exception.
 */
export function setLogger(
  logger: ((level: LogLevel, line: string) => void) | null,
  options?: {
    /**
     * The least important level of the lines.
     * @defaultValue "info"
     */
    level?: LogLevel | undefined;
  },
): void;

/**
 * Makes an orderly exit: waits for the releases that are still in progress, and destroys the sessions that the library
 * keeps for reuse. It is optional: after an UNCONFIRMED release Consul removes the lock by itself within two TTLs. Locks
 * and clients stay usable.
 *
 * Rejected with UNCONFIRMED if a release was still in progress at the end of the time.
 */
export function shutdown(options?: {
  /**
   * The longest wait in milliseconds: 0 to 86400000.
   * @defaultValue 30000
   */
  timeoutMs?: number | undefined;
}): Promise<void>;

/** The version of the loaded native library. */
export const version: string;

/** The codes of errors. A later version of the library may add codes. */
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
  | "ERR_CONSUL_LOCK_CONFLICT"
  | "ERR_CONSUL_LOCK_UNAVAILABLE"
  | "ERR_CONSUL_LOCK_DENIED"
  | "ERR_CONSUL_LOCK_REJECTED"
  | "ERR_CONSUL_LOCK_INTERNAL"
  | "ERR_CONSUL_LOCK_FORKED"
  | "ERR_CONSUL_LOCK_NO_RESOURCES"
  | "ERR_CONSUL_LOCK_UNKNOWN";

/** How a lock was lost. */
export type LostReason = "EXPIRED" | "SESSION_GONE" | "KEY_GONE" | "TAKEN_OVER" | "UNKNOWN";

/**
 * Why a call failed. The message says what the library could not do, on which key and address, what Consul said, and
 * what the caller can do.
 */
export class ConsulLockError extends Error {
  /** Makes an error for the tests of a program. The library makes its errors itself. */
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
  /** The name of this class. */
  name: "ConsulLockError";
  /** The kind of the error, for comparisons. */
  code: ErrorCode;
  /** The number of the status in consul_lock.h. */
  status: number;
  /** The HTTP status of Consul's answer. Absent: the failure came without an answer. */
  httpStatus?: number;
  /**
   * Whether the same call may work later without any change: another session had the lock, or Consul was unreachable. A
   * lock is single use, so the caller tries again with a new one.
   */
  retryable: boolean;
  /** How the lock was lost, where the code is LOST. */
  lostReason?: LostReason;
  /** The exception of the value generator, where the code is VALUE_FAILED. */
  cause?: unknown;
}
