/* Generated from src/ffi and abi/. */
/**
 * @file
 * libconsul_lock: distributed ephemeral locks on Consul. This header is for code that calls and
 * waits. Event loops also need consul_lock_async.h.
 *
 * A lock protects work that only one process in the whole datacenter may do at a time. Its life is
 * bounded: a holder that crashes cannot block the others for ever. The library deletes the lock's
 * key from Consul at the release.
 *
 *     consul_lock_error *error = NULL;
 *     consul_lock *lock = consul_lock_new("nightly-report", NULL, &error);
 *     if (lock != NULL && consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK) {
 *         make_the_report();
 *         consul_lock_release(lock, &error);
 *     }
 *     if (error != NULL) {
 *         fprintf(stderr, "%s\n", consul_lock_error_message(error));
 *     }
 *     consul_lock_error_free(error);
 *     consul_lock_free(lock);
 *
 * CONSUL_LOCK_NOT_ACQUIRED says that another process holds the lock. A simple program needs no
 * other functions. The library finds Consul by CONSUL_HTTP_ADDR, else on 127.0.0.1:8500.
 *
 * CONTENTS
 *
 *     Versions              of the header and of the library
 *     Status                how a call ended
 *     Objects               what most functions work on
 *     Taking a lock         new, acquire, cancel, release, free, abandon
 *     Errors                why a call failed
 *     While it is held      is_held, remaining time, fencing token, renew, check
 *     When it is lost       the notice of a loss, and its reason
 *     Guarded writes        writes that only the holder can make
 *     Several keys          all of them or none
 *     Sharing a key         slots, downgrade, upgrade
 *     Options               of a lock or of a client, by name
 *     Clients               how to reach Consul, statistics
 *     Defaults              of the process
 *     The stored value      what a lock stores under its key
 *     The holder            which process holds a lock, and since when
 *     Holders and waiters   all sessions that hold a key or wait for it
 *     Observers             the holder of a key, at each change
 *     Log                   what the library reports
 *     Shutdown              an orderly end
 *
 * MODES. A lock is exclusive unless its option "mode" is "share". All locks that share a key hold
 * it at the same time, but never beside an exclusive one: the readers of a read/write lock, whose
 * writers are exclusive locks on the same key. With the option "limit" at most so many share the
 * key: a semaphore, each holder of which has a slot (consul_lock_slot()). All wait in one line, so
 * readers cannot starve a writer, nor writers a reader. No acquire is re-entrant: a holder that
 * asks for a second share while a writer waits would wait for itself.
 *
 * OWNERSHIP. The caller owns what a function named _new returns, what consul_lock_holders() and
 * consul_lock_observe() return, what consul_lock_holder() stores, and what any function stores into
 * `*error`. The caller frees each once, with the matching _free.
 * The library copies every argument or holds a reference of its own, so the caller may free the
 * argument as soon as the call returns.
 *
 * PARAMETERS. A comment describes a parameter only where this preface does not. NULL in place of an
 * object is CONSUL_LOCK_INVALID_ARGUMENT where a function returns a status. Elsewhere NULL is
 * harmless: the function does nothing, or returns NULL, 0, false or the empty text. Another pointer
 * may be NULL only where its comment says so.
 *
 * ERRORS. The last parameter `consul_lock_error **error` may be NULL. A function writes `*error`
 * and never reads it: NULL when the call worked, else a new error. So free an error before its
 * variable is used again. (In the example, the first call that fails is the last.) CONSUL_LOCK_OK
 * is 0, so compare with it: `if (consul_lock_acquire(lock, NULL))` is true on FAILURE. A comment
 * leaves out CONSUL_LOCK_FORKED, CONSUL_LOCK_INTERNAL, and CONSUL_LOCK_INVALID_ARGUMENT for NULL
 * and for text or bytes that are wrong: any function that returns a status may return these.
 *
 * TEXT AND BYTES. All text is UTF-8. Text comes out as a copy in (char *buf, size_t cap): at most
 * cap bytes, the NUL included, cut where a character ends. The function returns the length of the
 * whole text in bytes, without the NUL. If buf is NULL, the function copies nothing. Bytes go in as
 * (const void *value, size_t len): at most CONSUL_LOCK_MAX_VALUE bytes. If len is 0, value may be
 * NULL.
 *
 * THREADS. Any thread may call any function at any time, with any object that no thread has freed.
 * Only functions whose comments say so block. `const` marks a function that only observes. A signal
 * handler must not call any function. No function is a cancellation point: pthread_cancel() takes
 * effect after the function has returned (consul_lock_cancel() ends a waiting acquire). The library
 * leaves errno, the locale and signal dispositions alone. Its own threads block signals.
 *
 * CALLBACKS. A thread that does nothing else calls the callbacks of a client, one after the other.
 * So a callback that does not return delays other callbacks of the same client, and nothing else. A
 * callback may call any function of the library. It must return: no longjmp and no C++ exception
 * may leave it. The library calls `user_data_free`, unless it is NULL, exactly once with user_data,
 * in any thread, after the last use of user_data. A call that fails to set a callback, or sets
 * none, calls user_data_free itself.
 *
 * FORK. In a child, a lock of the parent returns CONSUL_LOCK_FORKED. There, freeing the lock frees
 * only memory, and the parent keeps the lock. Clients and defaults work in the child, which can
 * take locks of its own. The child must not use an options object that another thread was modifying
 * during the fork.
 *
 * EXIT AND UNLOAD. The library does nothing at exit: a lock that was not released ends with its
 * TTL. consul_lock_shutdown() waits for releases that Consul has not confirmed yet. After dlclose()
 * the code stays mapped.
 *
 * FENCING. A lock cannot stop a holder that was paused (by a long page fault, or a suspended
 * machine) and wakes up after the end of the lock's life. Where that must do no harm, send
 * consul_lock_fencing_token() with every write, and let the receiver refuse a smaller token than
 * the largest that it has seen. Holders that share a key send theirs, too: the receiver refuses a
 * write below the largest token that it has seen, and a read below the largest of an exclusive
 * lock. With a limit the receiver keeps the largest token of each slot, as all slots are rightly in
 * use at once. Choose "lock_timeout_seconds" well above the time that the work takes. Locks are
 * advisory: they bind only the programs that take them.
 *
 * SESSIONS. Consul ends a session before its time when it removes the session's node: the node of
 * an agent that leaves, or of a server that was down for some ten seconds. Then another process may
 * take the lock before its holder learns of the loss. The client option "session_node" binds
 * sessions to a node that no agent owns. docs/guarantees.md says what ends sessions, and when.
 */
#ifndef CONSUL_LOCK_H
#define CONSUL_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Marks a function whose result the caller must use. */
#if defined(__GNUC__) || defined(__clang__)
#define CONSUL_LOCK_MUST_USE __attribute__((warn_unused_result))
#else
#define CONSUL_LOCK_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Versions ---- */

/** The version of this header. consul_lock_version() returns that of the library. */
#define CONSUL_LOCK_VERSION "0.1.0"
/** The first number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_MAJOR 0
/** The second number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_MINOR 1
/** The third number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_PATCH 0
/** The version to compare with: major * 1000000 + minor * 1000 + patch. */
#define CONSUL_LOCK_VERSION_NUMBER 1000

/**
 * Returns the version of the running library, such as "0.1.0". CONSUL_LOCK_VERSION is that of the
 * header.
 *
 * @return Never NULL. Lives as long as the process.
 */
const char *consul_lock_version(void);

/**
 * The version of the binary interface. It changes whenever a program that was compiled against an
 * older header could not run with the library.
 */
#define CONSUL_LOCK_ABI_VERSION 2

/**
 * Returns the version of the running library's binary interface. A program or binding whose header
 * has another CONSUL_LOCK_ABI_VERSION must not call any other function.
 */
uint32_t consul_lock_abi_version(void);

/* ---- Status ---- */

/**
 * The outcome of a call. The numbers are part of the ABI: they never change, and a retired number
 * is never used again. 1 to 19: misuse; 20 to 39: outcomes; 40 to 59: Consul could not be reached;
 * 60 to 79: Consul refused; 90 to 99: internal.
 */
typedef enum {
  /** The call worked. */
  CONSUL_LOCK_OK = 0,
  /**
   * An argument is wrong: NULL where an object is needed, not UTF-8, or a key that Consul would
   * change or refuse. Nothing was changed.
   */
  CONSUL_LOCK_INVALID_ARGUMENT = 1,
  /** An option is unknown, in the wrong place, or out of its range. Nothing was changed. */
  CONSUL_LOCK_INVALID_OPTION = 2,
  /** An environment variable is wrong. The message names it. Nothing was sent. */
  CONSUL_LOCK_INVALID_ENVIRONMENT = 3,
  /** The lock is single use, and was used before. */
  CONSUL_LOCK_ALREADY_USED = 4,
  /** The value generator has no value. Nothing was sent, and the lock is not used up. */
  CONSUL_LOCK_VALUE_FAILED = 5,
  /**
   * Consul said until the deadline that the lock is not free: another session holds it, or its
   * lock-delay runs.
   */
  CONSUL_LOCK_NOT_ACQUIRED = 20,
  /** consul_lock_cancel() ended the call, or the lock was freed or released meanwhile. */
  CONSUL_LOCK_CANCELLED = 21,
  /** The lock was held and is lost: it expired, or Consul or an operator ended it. */
  CONSUL_LOCK_LOST = 22,
  /** The lock is not held: it was never acquired, was released, or is used up. */
  CONSUL_LOCK_NOT_HELD = 23,
  /**
   * Consul did not confirm a release in time: the library repeats the release while the process
   * lives, and the session's TTL does the rest. Or Consul did not confirm a guarded write, which
   * Consul may have applied, or may apply later while the lock is held.
   */
  CONSUL_LOCK_UNCONFIRMED = 24,
  /**
   * The key is shared with another limit than the one that the lock was made with. The message
   * names both.
   */
  CONSUL_LOCK_CONFLICT = 25,
  /** Consul gave no usable answer in time. */
  CONSUL_LOCK_UNAVAILABLE = 40,
  /** Consul refused for want of rights. */
  CONSUL_LOCK_DENIED = 60,
  /**
   * Consul refused the request itself, or the library does not know Consul's answer. Or the key
   * of the lock holds the data of another program, which the library leaves as they are.
   */
  CONSUL_LOCK_REJECTED = 61,
  /** The library has a defect. Please report it. */
  CONSUL_LOCK_INTERNAL = 90,
  /** The object belongs to the parent process. */
  CONSUL_LOCK_FORKED = 91,
  /**
   * The system gave no thread, no descriptor, or no memory for a value, a request or a reply.
   * (Without memory even for a few bytes, the process is aborted, as every program in Rust is.)
   */
  CONSUL_LOCK_NO_RESOURCES = 92,
} consul_lock_status;

/**
 * Returns the name of a status, such as "NOT_ACQUIRED".
 *
 * @param status Any number: one that is not a status has the name "UNKNOWN".
 * @return Never NULL. Lives as long as the process.
 */
const char *consul_lock_status_name(int32_t status);

/* ---- Objects ---- */

/** A lock on one key, or on several. Single use: acquire it once, release it, free it. */
typedef struct consul_lock consul_lock;

/**
 * The reason why a call failed: a status and one line for people. An error never changes, so any
 * number of threads may read it.
 */
typedef struct consul_lock_error consul_lock_error;

/**
 * A set of options, by name. docs/OPTIONS.md lists them all. consul_lock_new() and
 * consul_lock_client_new() read a set and do not keep it, so one set can serve many calls.
 *
 * A set remembers the first refusal of a setter, and consul_lock_new() and
 * consul_lock_client_new() fail with it. So the caller may ignore the status of the setters: a
 * wrong option never becomes a default.
 */
typedef struct consul_lock_options consul_lock_options;

/**
 * The way to reach Consul, and what the locks that use it share: connections, sessions kept for
 * reuse, one place in the line of each key. A simple program needs no client: its locks use the
 * default client, which the library makes on first use from the environment (CONSUL_HTTP_ADDR and
 * the other variables of docs/OPTIONS.md).
 */
typedef struct consul_lock_client consul_lock_client;

/* ---- Taking a lock ---- */

/**
 * Makes a lock. Reads the options and the defaults, and sends nothing. The first lock that uses
 * the default client makes that client, as consul_lock_client_new() does.
 *
 * @param key     The work to lock. The library inserts it into "lock_key_pattern". The result may
 *                be at most 60,000 bytes long when percent-encoded. A key that Consul would change
 *                or refuse is refused: a leading '/', an empty, "." or ".." segment, characters
 *                that cannot be printed, spaces at either end, '..' or a space behind a
 *                percent-encoding. So is a segment ".fifo" or ".share": there the library keeps the
 *                waiters of a key, and those that share it.
 * @param options The lock's options. The defaults fill in the rest. NULL: all from the defaults.
 * @return Free it with consul_lock_free(). NULL on failure, with the code
 *         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
 *         CONSUL_LOCK_INVALID_OPTION: an option is wrong, or belongs to a client;
 *         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the library cannot make the
 *         default client (see consul_lock_client_new());
 *         CONSUL_LOCK_NO_RESOURCES: the same, or there is no memory for the value.
 */
CONSUL_LOCK_MUST_USE
consul_lock *consul_lock_new(const char *key,
                             const consul_lock_options *options,
                             consul_lock_error **error);

/**
 * Takes the lock: its key alone, or, with the option "mode" "share", beside others that share the
 * key. Waits for it up to the option "acquire_timeout_ms"; the default 0 makes exactly one attempt.
 * The library serves waiters first come, first served, within a process and between processes
 * (option "fair"). Blocks; consul_lock_cancel() ends the wait at once.
 *
 * The first acquire uses the lock up, whatever the outcome (except CONSUL_LOCK_VALUE_FAILED). A
 * failed acquire leaves nothing behind in Consul, or its message says that the session's TTL will
 * remove it.
 *
 * @return CONSUL_LOCK_OK: the caller holds the lock, with its whole life ahead;
 *         CONSUL_LOCK_NOT_ACQUIRED: the lock was not free until the deadline, and the message
 *         names the holder;
 *         CONSUL_LOCK_CONFLICT: others share the key with another "limit". The message names both;
 *         CONSUL_LOCK_CANCELLED; CONSUL_LOCK_ALREADY_USED: the lock was acquired before;
 *         CONSUL_LOCK_VALUE_FAILED: the value generator has no value;
 *         CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer in time;
 *         CONSUL_LOCK_DENIED: Consul refused for want of rights;
 *         CONSUL_LOCK_REJECTED: Consul refused the request, or the key holds the data of another
 *         program, which the library neither overwrites nor deletes;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, descriptor or memory, also for
 *         what "auto_renew" promises.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_acquire(consul_lock *lock,
                                       consul_lock_error **error);

/**
 * Ends a pending acquire at once: it returns CONSUL_LOCK_CANCELLED, and is undone. A later acquire
 * returns the same. A held lock stays held. If it waits in an upgrade, that returns
 * CONSUL_LOCK_CANCELLED, and the lock is a share, as before.
 */
void consul_lock_cancel(consul_lock *lock);

/**
 * Releases the lock and removes its keys. Never touches another lock. Cancels and undoes a pending
 * acquire of another thread. Blocks for at most the client's option "release_timeout_ms".
 *
 * @return CONSUL_LOCK_OK: the lock was held until now;
 *         CONSUL_LOCK_NOT_HELD: the caller had nothing to release; harmless;
 *         CONSUL_LOCK_LOST: the lock had been lost before, so other processes may have worked
 *         meanwhile;
 *         CONSUL_LOCK_UNCONFIRMED: Consul did not confirm in time (an election of its leader takes
 *         3 to 13 seconds). The library repeats the release while the process lives. A process
 *         that ends calls consul_lock_shutdown(), which waits for that. Otherwise Consul may keep
 *         the lock for up to two TTLs.
 */
consul_lock_status consul_lock_release(consul_lock *lock, consul_lock_error **error);

/**
 * Frees a lock. Releases a held lock first, which waits for at most the client's option
 * "release_timeout_ms". Cancels a pending acquire of another thread. Ends the session of a lost
 * lock in the background. Calls of other threads that have begun are safe; calls that begin
 * afterwards are not.
 */
void consul_lock_free(consul_lock *lock);

/**
 * Frees a lock without releasing it: sends nothing. A held lock, and the session of a lost one,
 * stay in Consul until the TTL ends them. For finalizers, and for work that may be done only once
 * per TTL. Cancels a pending acquire of another thread.
 */
void consul_lock_abandon(consul_lock *lock);

/* ---- Errors ---- */

/** Returns the status of the failed call; CONSUL_LOCK_OK for NULL. */
consul_lock_status consul_lock_error_code(const consul_lock_error *error);

/**
 * Returns one line for people: what failed, on which key and address, what Consul said, what to
 * do. It never contains a token or a stored value.
 *
 * @return Never NULL. Lives as long as the error.
 */
const char *consul_lock_error_message(const consul_lock_error *error);

/** Returns the HTTP status of Consul's answer, such as 403; 0 when the failure came without one. */
int32_t consul_lock_error_http_status(const consul_lock_error *error);

/**
 * Tells whether the same call may work later without any change: another process held the lock, or
 * Consul could not be reached. A lock is single use: try again with a new one.
 */
bool consul_lock_error_is_retryable(const consul_lock_error *error);

/**
 * Returns how the lock was lost, for CONSUL_LOCK_LOST.
 *
 * @return A consul_lock_lost_reason; 0 for any other error.
 */
int32_t consul_lock_error_why_lost(const consul_lock_error *error);

/** Frees an error. */
void consul_lock_error_free(consul_lock_error *error);

/* ---- While it is held ---- */

/**
 * Tells whether the lock is held, as far as this process knows by its own clock: true from a
 * successful acquire until the release, the end of the lock's life, or a noticed loss. While it is
 * true, no other process holds the lock (of a lock that shares its key: no other process holds the
 * key alone), unless Consul ended its session, or an operator deleted its key, before its time and
 * the library has not noticed yet. Sends nothing.
 */
bool consul_lock_is_held(const consul_lock *lock);

/**
 * Returns how much of the lock's life is left, by this process's own clock, which also counts
 * while the machine sleeps. Sends nothing.
 *
 * @return Milliseconds, rounded down; 0: the lock is not held.
 */
int64_t consul_lock_remaining_ms(const consul_lock *lock);

/**
 * Returns the fencing token: a number that grows with every acquisition of this key, and with every
 * downgrade and upgrade (see FENCING). All keys of a lock have one token. Tokens can be compared
 * within one datacenter, as long as Consul keeps its data.
 *
 * @return 0 before the lock was acquired. Afterwards only consul_lock_downgrade() and
 *         consul_lock_upgrade() change it. It stays the same when the lock is over.
 */
uint64_t consul_lock_fencing_token(const consul_lock *lock);

/**
 * Extends the life of a held lock to "lock_timeout_seconds" from now, for work that takes longer
 * than expected. Blocks for one request.
 *
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_LOST: the lock is lost, stop the work; CONSUL_LOCK_NOT_HELD;
 *         CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer, and the lock is held until
 *         consul_lock_remaining_ms() is 0; CONSUL_LOCK_DENIED; CONSUL_LOCK_REJECTED.
 */
consul_lock_status consul_lock_renew(consul_lock *lock, consul_lock_error **error);

/**
 * Asks Consul whether the lock is still held. So it also finds a loss that an operator caused.
 * Does not extend the lock's life. Blocks for one request.
 *
 * @return CONSUL_LOCK_OK: the lock is held; else as consul_lock_renew().
 */
consul_lock_status consul_lock_check(const consul_lock *lock, consul_lock_error **error);

/**
 * Copies the full key: the lock's place in Consul's KV store, such as
 * "locks/ephemeral/nightly-report". Of several keys the first, as consul_lock_key_at() counts them.
 *
 * @return See TEXT AND BYTES.
 */
size_t consul_lock_key(const consul_lock *lock, char *buf, size_t cap);

/**
 * Copies the id of the Consul session that holds, or held, the lock. A buffer of 37 bytes is
 * enough.
 *
 * @return See TEXT AND BYTES; 0 before the lock was acquired.
 */
size_t consul_lock_session_id(const consul_lock *lock, char *buf, size_t cap);

/* ---- When it is lost ---- */

/** The reason of a loss. The numbers are part of the ABI, as those of the statuses are. */
typedef enum {
  /** The lock's life ended before a release or a renewal. */
  CONSUL_LOCK_LOST_REASON_EXPIRED = 1,
  /** Consul ended the session: an operator wanted it, or the session's node left or was removed. */
  CONSUL_LOCK_LOST_REASON_SESSION_GONE = 2,
  /** The key is gone: deleted, or removed with the session. */
  CONSUL_LOCK_LOST_REASON_KEY_GONE = 3,
  /** Another session holds the key. */
  CONSUL_LOCK_LOST_REASON_TAKEN_OVER = 4,
} consul_lock_lost_reason;

/**
 * Returns the name of a consul_lock_lost_reason, such as "KEY_GONE".
 *
 * @param reason Any number: one that is not a reason has the name "UNKNOWN".
 * @return Never NULL. Lives as long as the process.
 */
const char *consul_lock_lost_reason_name(int32_t reason);

/**
 * Returns how the lock was lost. Sends nothing.
 *
 * @return A consul_lock_lost_reason; 0: the lock was not lost, as far as this process knows.
 */
int32_t consul_lock_why_lost(const consul_lock *lock);

/**
 * Receives the reason why a lock was lost. See CALLBACKS. It may also call consul_lock_free() on
 * this lock.
 */
typedef void (*consul_lock_lost_callback)(consul_lock_lost_reason reason, void *user_data);

/** Frees a user_data. See CALLBACKS. */
typedef void (*consul_lock_user_data_free)(void *user_data);

/**
 * Sets the function that the library calls when this lock is lost: once, at the end of the lock's
 * life at the latest, also when no Consul can be reached. The library finds a loss (1) by the
 * local clock when the lease ends, (2) by the watch on the key while "monitor" is on (the
 * default), (3) by a renewal, (4) by any call that returns CONSUL_LOCK_LOST. If the lock is lost
 * already, the library calls the function at once. It never calls the function after a release,
 * consul_lock_abandon() or consul_lock_free().
 *
 * @param callback       The function. It takes the place of the one before. NULL: none.
 * @param user_data      Given to the function.
 * @param user_data_free Called after the call of the function, when another function has taken its
 *                       place, or when the lock is freed or abandoned.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and nothing was
 *         changed.
 */
consul_lock_status consul_lock_set_lost_callback(consul_lock *lock,
                                                 consul_lock_lost_callback callback,
                                                 void *user_data,
                                                 consul_lock_user_data_free user_data_free,
                                                 consul_lock_error **error);

/* ---- Guarded writes ---- */

/**
 * Writes a key of Consul's KV store in one transaction with a check that this lock is held. A
 * holder that lost the lock cannot write, whether it knows of the loss or not, so the write needs
 * no fencing token. Blocks for one request, which the library repeats when the answer is lost.
 *
 * @param key   The key to write, as it stands in the KV store (without "lock_key_pattern").
 *              Refused are this lock's own keys and what consul_lock_new() refuses.
 * @param value The bytes to write. With very long keys the limit is a little below
 *              CONSUL_LOCK_MAX_VALUE.
 * @return CONSUL_LOCK_OK: the key was written while the lock was held;
 *         CONSUL_LOCK_LOST: the lock is lost, and nothing was written;
 *         CONSUL_LOCK_UNCONFIRMED: Consul's answer was lost. Consul may have written the key, or
 *         may write it later, as long as the lock is in Consul. While the lock is held, the caller
 *         may repeat the call;
 *         CONSUL_LOCK_NOT_HELD, CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED,
 *         CONSUL_LOCK_NO_RESOURCES: nothing was written.
 */
consul_lock_status consul_lock_put_if_held(consul_lock *lock,
                                           const char *key,
                                           const void *value,
                                           size_t len,
                                           consul_lock_error **error);

/**
 * Deletes a key of Consul's KV store in the same way. A key that does not exist is no error.
 *
 * @param key As for consul_lock_put_if_held().
 * @return As consul_lock_put_if_held().
 */
consul_lock_status consul_lock_delete_if_held(consul_lock *lock,
                                              const char *key,
                                              consul_lock_error **error);

/* ---- Several keys ---- */

/**
 * The largest number of keys of a lock. (Consul takes 64 operations in a transaction, and the end
 * of a wait in line needs two for each key.)
 */
#define CONSUL_LOCK_MAX_KEYS 30

/**
 * Makes one lock on several keys. An acquire takes all keys or none, in one transaction: no
 * process ever holds a part of them, and locks on overlapping keys never wait for each other in a
 * circle, whatever the order of the keys. The lock waits in line on every key. It stores its value
 * under every key, has one session and one fencing token, and is released as a whole. It is
 * exclusive. Otherwise as consul_lock_new().
 *
 * A lock on several keys waits until it is the first in line on all of them. Meanwhile a key that
 * is free stays free for it, so keep the sets of keys small.
 *
 * @param keys    The works to lock: an array of n texts, each as the key of consul_lock_new(). The
 *                library copies and sorts them. A key that comes twice counts once.
 * @param n       The length of the array. 1 to CONSUL_LOCK_MAX_KEYS different keys.
 * @param options As for consul_lock_new(). The values under all keys must fit into one request of
 *                512 KiB.
 * @return As consul_lock_new(). CONSUL_LOCK_INVALID_ARGUMENT also: there are too many keys or
 *         none, or the value is too long for so many keys. CONSUL_LOCK_INVALID_OPTION also: the
 *         option "mode" is "share" and there are several keys.
 */
CONSUL_LOCK_MUST_USE
consul_lock *consul_lock_new_all(const char *const *keys,
                                 size_t n,
                                 const consul_lock_options *options,
                                 consul_lock_error **error);

/**
 * Returns how many keys the lock has: 1, unless consul_lock_new_all() made it of several.
 *
 * @return 0 for NULL.
 */
size_t consul_lock_keys_count(const consul_lock *lock);

/**
 * Copies a full key of the lock, as consul_lock_key() does, which copies the first.
 *
 * @param index 0 to consul_lock_keys_count() - 1, in the order of the bytes of the full keys.
 * @return See TEXT AND BYTES; 0 for an index without a key.
 */
size_t consul_lock_key_at(const consul_lock *lock, size_t index, char *buf, size_t cap);

/* ---- Sharing a key ---- */

/**
 * Returns the slot of a lock that shares its key with a limit: a number from 0 and below the
 * limit, such as the number of a worker. No two locks that share the key at the same time have the
 * same slot. Sends nothing.
 *
 * @return -1: the lock has no slot, as it was not acquired yet, is exclusive, or has no limit. The
 *         slot stays the same when the lock is over.
 */
int32_t consul_lock_slot(const consul_lock *lock);

/**
 * Turns an exclusive lock into a share of its key, without a gap: no exclusive lock comes between.
 * Others may share the key from then on, at most as many as the lock's option "limit" says. The
 * lock's life goes on, and its fencing token grows. The library does not store a value of more than
 * CONSUL_LOCK_MAX_SHARED_VALUE bytes with the share, but what a lock without a value stores. Blocks
 * for one request. If Consul's answer is lost, the library asks again, until the end of the lock's
 * life at the latest.
 *
 * @return CONSUL_LOCK_OK: the lock shares its key;
 *         CONSUL_LOCK_INVALID_ARGUMENT: the lock shares its key already, has several keys, or
 *         another downgrade or upgrade of it is still under way;
 *         CONSUL_LOCK_LOST: the lock is lost, stop the work; CONSUL_LOCK_NOT_HELD;
 *         CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED: the lock is exclusive,
 *         as before.
 */
consul_lock_status consul_lock_downgrade(consul_lock *lock, consul_lock_error **error);

/**
 * Turns a share into an exclusive lock, without a gap: what the holder has read stays true. From
 * the first moment no other lock can take the key, and the call waits until those that share it
 * have released it. Meanwhile the lock stays held. An upgrade overtakes the line of waiters once.
 *
 * Of two locks that share a key only one can be upgraded at a time: the other one would wait for
 * the first, and the first for the other. So the second is refused at once. It releases its share
 * and takes a new, exclusive lock, and reads again what it has read. Blocks; consul_lock_cancel()
 * ends the wait at once. While Consul's answer is lost, as consul_lock_downgrade().
 *
 * @param timeout_ms How long to wait for the others that share the key: 0 to 86,400,000. 0: not at
 *                   all. -1: until a cancel.
 * @return CONSUL_LOCK_OK: the lock is exclusive. Its fencing token has grown;
 *         CONSUL_LOCK_NOT_ACQUIRED: others still share the key, or another session has the key or
 *         is being upgraded. The lock is a share, as before. Its token may have grown;
 *         CONSUL_LOCK_CANCELLED: the lock is a share, as before;
 *         CONSUL_LOCK_INVALID_ARGUMENT: the lock is exclusive already, another downgrade or
 *         upgrade of it is still under way, or timeout_ms is out of range;
 *         CONSUL_LOCK_LOST: the lock is lost, stop the work; CONSUL_LOCK_NOT_HELD;
 *         CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED: the lock is a share,
 *         as before.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_upgrade(consul_lock *lock,
                                       int64_t timeout_ms,
                                       consul_lock_error **error);

/* ---- Options ---- */

/**
 * Makes an empty set of options.
 *
 * @return Free it with consul_lock_options_free().
 */
CONSUL_LOCK_MUST_USE consul_lock_options *consul_lock_options_new(void);

/**
 * Sets an option from text. The last setting of an option counts.
 *
 * @param name  The name of the option, such as "acquire_timeout_ms".
 * @param value Decimal digits with an optional minus for a number, "true" or "false" for yes or
 *              no.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_OPTION: there is no such option, it cannot be set
 *         here, or the value is out of its range.
 */
consul_lock_status consul_lock_options_set(consul_lock_options *options,
                                           const char *name,
                                           const char *value,
                                           consul_lock_error **error);

/**
 * Sets an option that is a number, or yes (1) or no (0).
 *
 * @param name  As for consul_lock_options_set().
 * @param value The number, in the unit that the name ends in.
 * @return As consul_lock_options_set().
 */
consul_lock_status consul_lock_options_set_int(consul_lock_options *options,
                                               const char *name,
                                               int64_t value,
                                               consul_lock_error **error);

/**
 * Sets the option that is bytes: the value to store under the key.
 *
 * @param name The name of the option: "value".
 * @return As consul_lock_options_set(); CONSUL_LOCK_NO_RESOURCES: there is no memory for the
 *         value.
 */
consul_lock_status consul_lock_options_set_bytes(consul_lock_options *options,
                                                 const char *name,
                                                 const void *value,
                                                 size_t len,
                                                 consul_lock_error **error);

/** Frees a set of options. */
void consul_lock_options_free(consul_lock_options *options);

/* ---- Clients ---- */

/**
 * Makes a client. Sends nothing: a Consul that cannot be reached shows at the first use. Reads the
 * files that the options or the environment name, and waits at most 5 seconds for each kind.
 *
 * @param options The client's options. The environment fills in the rest. NULL: all from the
 *                environment.
 * @return Free it with consul_lock_client_free(). NULL on failure, with the code
 *         CONSUL_LOCK_INVALID_OPTION: an option is wrong, or belongs to a lock;
 *         CONSUL_LOCK_INVALID_ENVIRONMENT: a variable is wrong. Either code also stands for a file
 *         that cannot be used, or was not read within 5 seconds;
 *         CONSUL_LOCK_UNAVAILABLE: the system's CAs were not read within 5 seconds;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread to read the files.
 */
CONSUL_LOCK_MUST_USE
consul_lock_client *consul_lock_client_new(const consul_lock_options *options,
                                           consul_lock_error **error);

/**
 * Sets the client that a lock uses, instead of the default client.
 *
 * @param options The options of a lock.
 * @return CONSUL_LOCK_OK.
 */
consul_lock_status consul_lock_options_set_client(consul_lock_options *options,
                                                  const consul_lock_client *client,
                                                  consul_lock_error **error);

/**
 * Copies the statistics of a client as one JSON object: requests by kind, Raft writes, retries,
 * locks that wait or are held, connections, threads, percentiles of how long acquires and holds
 * took. docs/guide.md describes the fields; later versions may add some. A buffer of 2,048 bytes
 * is enough. Sends nothing.
 *
 * @param client NULL: the default client. If it cannot be made, the text is empty.
 * @return See TEXT AND BYTES. The next call may have a longer text.
 */
size_t consul_lock_client_stats(const consul_lock_client *client, char *buf, size_t cap);

/**
 * Gives up the caller's reference to a client. The client ends with the last of the options, locks
 * and defaults that use it.
 */
void consul_lock_client_free(consul_lock_client *client);

/* ---- Defaults ---- */

/**
 * Sets a process-wide default: "acquire_timeout_ms", "lock_timeout_seconds" or "lock_key_pattern".
 * consul_lock_new() reads it: a later change never touches a lock that exists.
 *
 * @param name  The name of the option.
 * @param value As for consul_lock_options_set().
 * @return As consul_lock_options_set().
 */
consul_lock_status consul_lock_defaults_set(const char *name,
                                            const char *value,
                                            consul_lock_error **error);

/**
 * Sets the client of the locks that are made without one. Locks that exist keep theirs.
 *
 * @param client NULL: back to the client that the library makes from the environment, once, on
 *               first use.
 */
void consul_lock_set_default_client(const consul_lock_client *client);

/* ---- The stored value ---- */

/**
 * The longest stored value, in bytes. (Consul does not answer a transaction of more than 512 KiB,
 * base64 included: it closes the connection.)
 */
#define CONSUL_LOCK_MAX_VALUE 390000

/**
 * The longest stored value of a lock that shares its key, in bytes. (An exclusive waiter reads the
 * values of all that share the key.)
 */
#define CONSUL_LOCK_MAX_SHARED_VALUE 512

/**
 * Sets the value that this lock will store, instead of the option "value" and of the value
 * generator. Call it before consul_lock_acquire(). If both run at the same time, either value may
 * be stored.
 *
 * @param len At most CONSUL_LOCK_MAX_VALUE; at most CONSUL_LOCK_MAX_SHARED_VALUE if the option
 *            "mode" is "share"; less with very long keys, and with several keys.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_ALREADY_USED: the acquire has begun, and nothing was
 *         changed; CONSUL_LOCK_NO_RESOURCES: there is no memory for the value.
 */
consul_lock_status consul_lock_set_value(consul_lock *lock,
                                         const void *value,
                                         size_t len,
                                         consul_lock_error **error);

/**
 * The place where a value generator puts the value. Valid only during the call of the generator.
 */
typedef struct consul_lock_value consul_lock_value;

/**
 * Makes the value that a lock stores under its key: calls consul_lock_value_set() and returns 0.
 * Any other number means that there is no value: the acquire then returns
 * CONSUL_LOCK_VALUE_FAILED, and the lock can be used again.
 *
 * See CALLBACKS, with this difference: consul_lock_acquire() calls it, in the caller's thread,
 * before it sends anything; several threads may do so at the same time.
 */
typedef int (*consul_lock_value_generator)(consul_lock_value *value, void *user_data);

/**
 * Sets the function that makes the value of later locks without the option "value". Without a
 * generator, the value is a JSON object with "locked_at", the time of the attempt that took the
 * lock.
 *
 * @param generator      The function. NULL: back to "locked_at".
 * @param user_data      Given to the function at each call.
 * @param user_data_free Called when another generator has taken its place and the last lock made
 *                       with this one is freed.
 */
void consul_lock_set_value_generator(consul_lock_value_generator generator,
                                     void *user_data,
                                     consul_lock_user_data_free user_data_free);

/**
 * Sets the value, for value generators. The last call counts.
 *
 * @param value The place that the generator received.
 * @param bytes The value: any bytes.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or too many bytes;
 *         CONSUL_LOCK_NO_RESOURCES: there is no memory for them. After an error the place has no
 *         value.
 */
consul_lock_status consul_lock_value_set(consul_lock_value *value, const void *bytes, size_t len);

/* ---- The holder ---- */

/**
 * The holder of a lock at the moment of Consul's answer. It never changes, so any number of
 * threads may read it.
 */
typedef struct consul_lock_holder_info consul_lock_holder_info;

/**
 * Asks Consul which session holds the lock on a key. Blocks for one or two requests.
 *
 * @param client NULL: the default client.
 * @param key    As for consul_lock_new().
 * @param holder Receives the holder, to be freed with consul_lock_holder_free(); NULL when the
 *               lock is free, and on failure. Not NULL.
 * @return CONSUL_LOCK_OK: *holder is the holder, or NULL; CONSUL_LOCK_INVALID_ARGUMENT: the key is
 *         refused; CONSUL_LOCK_INVALID_ENVIRONMENT; CONSUL_LOCK_UNAVAILABLE; CONSUL_LOCK_DENIED;
 *         CONSUL_LOCK_REJECTED; CONSUL_LOCK_NO_RESOURCES.
 */
consul_lock_status consul_lock_holder(const consul_lock_client *client,
                                      const char *key,
                                      consul_lock_holder_info **holder,
                                      consul_lock_error **error);

/**
 * Copies the id of the session that holds the lock.
 *
 * @return See TEXT AND BYTES.
 */
size_t consul_lock_holder_session(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * Copies the name of the session that holds the lock. A session of this library has a name such as
 * "consul_lock PROGRAM@HOST:PID NONCE".
 *
 * @return See TEXT AND BYTES; 0: Consul would not say.
 */
size_t consul_lock_holder_name(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * Copies the name of the Consul node that the session is bound to: its "session_node", else the
 * node of the agent that made it.
 *
 * @return See TEXT AND BYTES; 0: Consul would not say.
 */
size_t consul_lock_holder_node(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * Returns what consul_lock_fencing_token() returns to the holder. The source is the key's
 * ModifyIndex, which grows when a program writes the key without taking the lock.
 */
uint64_t consul_lock_holder_fencing_token(const consul_lock_holder_info *holder);

/**
 * Returns when the holder took the lock, by the holder's clock. The source is "locked_at" in the
 * value that a lock stores by default.
 *
 * @return Milliseconds since 1970-01-01 UTC; 0: unknown, as another value is stored.
 */
int64_t consul_lock_holder_since_ms(const consul_lock_holder_info *holder);

/**
 * Returns the TTL of the session that holds the lock. A session of this library has
 * "lock_timeout_seconds".
 *
 * @return Milliseconds; 0: the session has no TTL, or Consul would not say.
 */
int64_t consul_lock_holder_ttl_ms(const consul_lock_holder_info *holder);

/**
 * Copies the value that is stored under the key: any bytes, without a NUL behind them. They are
 * the data of another program: trust nothing in them.
 *
 * @param buf Receives at most cap bytes.
 * @return The length of the whole value in bytes.
 */
size_t consul_lock_holder_value(const consul_lock_holder_info *holder, void *buf, size_t cap);

/** Frees a holder. */
void consul_lock_holder_free(consul_lock_holder_info *holder);

/* ---- Holders and waiters ---- */

/**
 * All sessions that hold a key or wait for it, at the moments of Consul's answers. It never
 * changes, so any number of threads may read it.
 */
typedef struct consul_lock_holders_info consul_lock_holders_info;

/**
 * Asks Consul which sessions hold a key and which wait for it: the exclusive holder, those that
 * share the key, and the line of waiters. Blocks for two requests, and one for each of the first
 * 64 sessions, whose names it reads. The two requests are not of one instant: a lock that changes
 * hands in between may show twice, or not at all.
 *
 * @param client NULL: the default client.
 * @param key    As for consul_lock_new().
 * @return Free it with consul_lock_holders_free(). It has no entry if no session holds the key or
 *         waits for it. NULL on failure, with the codes of consul_lock_holder(). The token needs
 *         no rights beyond those of a waiter; entries that the token may not read are missing.
 */
CONSUL_LOCK_MUST_USE
consul_lock_holders_info *consul_lock_holders(const consul_lock_client *client,
                                              const char *key,
                                              consul_lock_error **error);

/**
 * Returns the number of entries. The exclusive holder comes first, then those that share the key,
 * then the line in its order.
 */
size_t consul_lock_holders_count(const consul_lock_holders_info *holders);

/** What a session does with a key. The numbers are part of the ABI. */
typedef enum {
  /** There is no such entry. */
  CONSUL_LOCK_ROLE_NONE = 0,
  /**
   * The session holds the key exclusively. While others still share the key, the session waits
   * until they have ended, and no other session enters.
   */
  CONSUL_LOCK_ROLE_EXCLUSIVE = 1,
  /** The session shares the key. */
  CONSUL_LOCK_ROLE_SHARER = 2,
  /**
   * The session stands in the line of the key. It stands for all waiters of one client in one
   * process that want the same.
   */
  CONSUL_LOCK_ROLE_WAITER = 3,
} consul_lock_role;

/**
 * Returns what the session of an entry does with the key.
 *
 * @param index From 0.
 */
consul_lock_role consul_lock_holders_role(const consul_lock_holders_info *holders, size_t index);

/**
 * Returns the session of an entry, for the functions named consul_lock_holder_session() and so on.
 * Of a waiter only session, name, node and TTL are known.
 *
 * @param index From 0.
 * @return It belongs to the holders and ends with them: do not free it. NULL: there is no such
 *         entry.
 */
const consul_lock_holder_info *consul_lock_holders_get(const consul_lock_holders_info *holders,
                                                       size_t index);

/**
 * Returns how many sessions may share the key with the session of an entry, or with a waiter once
 * it shares the key.
 *
 * @param index From 0.
 * @return The option "limit"; 1024: no limit; 0: the session holds the key exclusively, or waits
 *         for that.
 */
int32_t consul_lock_holders_limit(const consul_lock_holders_info *holders, size_t index);

/**
 * Returns the slot of a session that shares the key with a limit: consul_lock_slot() there.
 *
 * @param index From 0.
 * @return From 0; -1: the session has none.
 */
int32_t consul_lock_holders_slot(const consul_lock_holders_info *holders, size_t index);

/**
 * Returns for how many keys a waiter waits, if it waits for several at once.
 *
 * @param index From 0.
 * @return 0: the session holds the key, or waits for this key alone.
 */
size_t consul_lock_holders_key_count(const consul_lock_holders_info *holders, size_t index);

/**
 * Copies one of the several keys that a waiter waits for.
 *
 * @param index  From 0.
 * @param number Which of its keys, from 0.
 * @return See TEXT AND BYTES; 0: there is no such key.
 */
size_t consul_lock_holders_key(const consul_lock_holders_info *holders,
                               size_t index,
                               size_t number,
                               char *buf,
                               size_t cap);

/**
 * Copies all entries as one JSON object, which docs/guide.md describes.
 *
 * @return See TEXT AND BYTES.
 */
size_t consul_lock_holders_json(const consul_lock_holders_info *holders, char *buf, size_t cap);

/** Frees holders, with all their entries. */
void consul_lock_holders_free(consul_lock_holders_info *holders);

/* ---- Observers ---- */

/** An observer of a key's holder. */
typedef struct consul_lock_observer consul_lock_observer;

/**
 * Receives the holder of an observed key. `status` is CONSUL_LOCK_OK, and `holder` the exclusive
 * holder, or NULL: no session holds the key exclusively. Name, node and TTL of the session are not
 * known: consul_lock_holder() reads them. Another status says that the library does not know the
 * holder now, and `error` why. The callback owns `holder` and `error`.
 *
 * See CALLBACKS. It may also call consul_lock_observer_free() on its observer.
 */
typedef void (*consul_lock_observe_callback)(consul_lock_status status,
                                             consul_lock_holder_info *holder,
                                             consul_lock_error *error,
                                             void *user_data);

/**
 * Begins to observe the exclusive holder of a key, for elections and dashboards. The callback
 * receives the holder soon after this call (perhaps before it returns), and again whenever another
 * session holds the key, the key became free, or its fencing token changed. What the callback
 * received last is the present state in the end; the library may skip states in between. Sessions
 * that share the key are no holders here: consul_lock_holders() shows them.
 *
 * The callback receives an error once when Consul refuses to show the key, or gives no usable
 * answer for "request_timeout_ms". The library asks on, and the callback receives the holder again
 * as soon as Consul shows it.
 *
 * All observers and waiters of a key in a client share one blocking query. A client observes 10
 * keys so (with 32 connections), and reads further keys every 5 seconds. This call does not wait
 * for Consul.
 *
 * An observer keeps its client alive. In a child after fork an observer of the parent receives
 * nothing.
 *
 * @param client         NULL: the default client.
 * @param key            As for consul_lock_new().
 * @param callback       The function. Not NULL.
 * @param user_data      Given to the function.
 * @param user_data_free Called after the last call of the function.
 * @return Free it with consul_lock_observer_free(). NULL on failure, with the code
 *         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
 *         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the library cannot make the
 *         default client;
 *         CONSUL_LOCK_NO_RESOURCES: the same, or the system gives no thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_observer *consul_lock_observe(const consul_lock_client *client,
                                          const char *key,
                                          consul_lock_observe_callback callback,
                                          void *user_data,
                                          consul_lock_user_data_free user_data_free,
                                          consul_lock_error **error);

/**
 * Ends an observer. Waits for a call of its callback that is running in another thread: so the
 * caller must hold nothing that the callback waits for. Then no callback runs any more. A callback
 * may end its own observer.
 */
void consul_lock_observer_free(consul_lock_observer *observer);

/* ---- Log ---- */

/** The importance of a log line. The numbers are part of the ABI. */
typedef enum {
  /** An operator must look: a lock was lost, or something was left behind in Consul. */
  CONSUL_LOCK_LOG_LEVEL_ERROR = 1,
  /** A trouble that may become worse: Consul cannot be reached, or does not confirm. */
  CONSUL_LOCK_LOG_LEVEL_WARN = 2,
  /** A fact worth knowing once: something works otherwise than the caller asked for. */
  CONSUL_LOCK_LOG_LEVEL_INFO = 3,
  /** Details for the search for faults. */
  CONSUL_LOCK_LOG_LEVEL_DEBUG = 4,
} consul_lock_log_level;

/**
 * Receives a log line: UTF-8, without a line break, valid only during the call. A line never
 * contains a token or a stored value.
 *
 * See CALLBACKS, with these differences: one thread calls it for the whole process, in the order
 * of the lines. It may block, which delays only later lines. At most 256 lines wait: the library
 * drops the rest, and a line says how many.
 */
typedef void (*consul_lock_log_callback)(consul_lock_log_level level,
                                         const char *line,
                                         void *user_data);

/**
 * Sets the function that receives the log: lost locks, releases that Consul did not confirm,
 * outages that last. One function serves the whole process, also a child after fork. This call
 * does not wait for a call of the earlier function that has not returned yet.
 *
 * @param callback       The function. NULL: the log is off, as at the beginning.
 * @param user_data      Given to the function at each call.
 * @param user_data_free Called when another function has taken its place and the last call has
 *                       returned.
 * @param level          The least important consul_lock_log_level that the function receives: 1 to
 *                       4.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: there is no such level, and nothing was
 *         changed.
 */
consul_lock_status consul_lock_set_log_callback(consul_lock_log_callback callback,
                                                void *user_data,
                                                consul_lock_user_data_free user_data_free,
                                                int32_t level);

/* ---- Shutdown ---- */

/**
 * Ends the process's work with Consul in an orderly way: destroys the sessions kept for reuse and
 * waits for releases still in progress. Optional. Without it, the library's work on a release that
 * was UNCONFIRMED ends with the process, and Consul removes that lock after up to two TTLs. Locks
 * and clients stay usable afterwards, but the library keeps no session for reuse any more.
 *
 * @param timeout_ms The longest wait, in milliseconds: 0 to 86,400,000.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_UNCONFIRMED: something was still in progress at the end of
 *         the time; CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
 */
consul_lock_status consul_lock_shutdown(int64_t timeout_ms, consul_lock_error **error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* CONSUL_LOCK_H */
