/* Generated from src/ffi and abi/. */
/**
 * @file
 * libconsul_lock: distributed ephemeral locks on Consul. For code that calls and waits; event loops
 * also need consul_lock_async.h.
 *
 * A lock protects work that only one process in the whole datacenter may do at a time. It has a
 * bounded life: a holder that crashes cannot block the others for ever. It is deleted from Consul
 * when it is given back.
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
 * CONSUL_LOCK_NOT_ACQUIRED says that another process works. These functions are all that a simple
 * program needs. Consul is found by CONSUL_HTTP_ADDR, else on 127.0.0.1:8500.
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
 *     Options               of a lock or of a client, by name
 *     Clients               how to reach Consul, statistics
 *     Defaults              of the process
 *     The stored value      what a lock stores under its key
 *     The holder            which process holds a lock, and since when
 *     Log                   what the library has to say
 *     Shutdown              an orderly end
 *
 * OWNERSHIP. What a function named _new returns, what consul_lock_holder() stores, and what any
 * function stores into `*error`, belongs to the caller, who frees it once with the matching _free.
 * Every argument is copied or reference-counted, so the caller may free it as soon as the call
 * returns. NULL in place of an object is CONSUL_LOCK_INVALID_ARGUMENT where a function returns a
 * status, and harmless elsewhere. Other pointers may be NULL where their comments say so.
 *
 * ERRORS. The last parameter `consul_lock_error **error` may be NULL. A function writes it and
 * never reads it: it receives NULL when the call worked, else a new error. So free an error before
 * its variable is used again. (In the example, the first call that fails is the last.)
 * CONSUL_LOCK_OK is 0: compare with it, as `if (consul_lock_acquire(lock, NULL))` is true on
 * FAILURE.
 *
 * TEXT. All text is UTF-8. Text comes out as a copy in (char *buf, size_t cap): at most cap bytes,
 * the NUL included, cut where a character ends. The function returns the length of the whole text.
 * With a NULL buf nothing is copied.
 *
 * THREADS. Any thread may call any function at any time, unless the object was freed before. Only
 * functions whose comments say so block. `const` marks a function that only observes. No function
 * may be called in a signal handler. No function is a cancellation point: pthread_cancel() takes
 * effect after it has returned (consul_lock_cancel() ends a waiting acquire). The library leaves
 * errno, the locale and signal dispositions alone. Its own threads block signals.
 *
 * CALLBACKS. A callback is called by a thread of the library that does nothing else, one call after
 * the other: a callback that does not return delays other callbacks of the same client, and nothing
 * else. It may call any function of the library. It must return: no longjmp and no C++ exception
 * may leave it. Its user_data is used by that thread, and freed by any.
 *
 * FORK. In a child, a lock of the parent answers CONSUL_LOCK_FORKED, and freeing it frees only
 * memory: it stays the parent's. Clients and defaults work in the child, which can take locks of
 * its own. Do not use in the child an options object that another thread was modifying during the
 * fork.
 *
 * EXIT AND UNLOAD. The library does nothing at exit: a lock that was not released ends with its
 * TTL. consul_lock_shutdown() waits for releases that Consul has not confirmed yet. After dlclose()
 * the code stays mapped.
 *
 * FENCING. A lock cannot stop a holder that was paused (by a long page fault, a suspended machine)
 * and wakes up after the end of its lock's life. Where that must do no harm, send
 * consul_lock_fencing_token() with every write, and let the receiver refuse a smaller token than
 * the largest that it has seen. Choose "lock_timeout_seconds" well above what the work takes. Locks
 * are advisory: they bind only the programs that take them.
 *
 * SESSIONS. Consul ends a session before its time when it removes the node that the session is
 * bound to: the node of an agent that leaves, or of a server that was down for some ten seconds.
 * Then another process may take the lock before its holder is told. The client option
 * "session_node" binds sessions to a node that no agent owns. docs/guarantees.md says what ends
 * sessions, and when.
 */
#ifndef CONSUL_LOCK_H
#define CONSUL_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The result of such a function must be looked at. */
#if defined(__GNUC__) || defined(__clang__)
#define CONSUL_LOCK_MUST_USE __attribute__((warn_unused_result))
#else
#define CONSUL_LOCK_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Versions ---- */

/** The version of this header. That of the library is consul_lock_version(). */
#define CONSUL_LOCK_VERSION "0.1.0"
/** The first part of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_MAJOR 0
/** The second part. */
#define CONSUL_LOCK_VERSION_MINOR 1
/** The third part. */
#define CONSUL_LOCK_VERSION_PATCH 0
/** For comparisons: major * 1000000 + minor * 1000 + patch. */
#define CONSUL_LOCK_VERSION_NUMBER 1000

/**
 * The version of the library that runs, such as "0.1.0". CONSUL_LOCK_VERSION is that of the
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
 * The version of the binary interface of the library that runs. A program or binding whose header
 * has another CONSUL_LOCK_ABI_VERSION must not call anything else.
 */
uint32_t consul_lock_abi_version(void);

/* ---- Status ---- */

/**
 * The outcome of a call. The numbers are part of the ABI: they never change, and a retired number
 * is never used again. 1 to 19: misuse; 20 to 39: outcomes; 40 to 59: Consul could not be reached;
 * 60 to 79: Consul refused; 90 to 99: internal.
 */
typedef enum {
  /**
   * It worked.
   */
  CONSUL_LOCK_OK = 0,
  /**
   * An argument is wrong: NULL where an object is needed, not UTF-8, a key that Consul would
   * change or refuse. Nothing was changed.
   */
  CONSUL_LOCK_INVALID_ARGUMENT = 1,
  /**
   * An option is unknown, in the wrong place, or its value is out of range. Nothing was changed.
   */
  CONSUL_LOCK_INVALID_OPTION = 2,
  /**
   * A setting in the environment is wrong; the message names the variable. Nothing was sent.
   */
  CONSUL_LOCK_INVALID_ENVIRONMENT = 3,
  /**
   * The lock is single use, and was used before.
   */
  CONSUL_LOCK_ALREADY_USED = 4,
  /**
   * The value generator has no value. Nothing was sent, and the lock is not used up.
   */
  CONSUL_LOCK_VALUE_FAILED = 5,
  /**
   * Consul said until the deadline that the lock is not free: another session holds it, or its
   * lock-delay runs.
   */
  CONSUL_LOCK_NOT_ACQUIRED = 20,
  /**
   * consul_lock_cancel() ended the call, or the lock was freed or released meanwhile.
   */
  CONSUL_LOCK_CANCELLED = 21,
  /**
   * The lock was held and is lost: it expired, or Consul or an operator ended it.
   */
  CONSUL_LOCK_LOST = 22,
  /**
   * The lock is not held: never acquired, given back, or used up.
   */
  CONSUL_LOCK_NOT_HELD = 23,
  /**
   * Consul did not confirm a release in time: the library goes on while the process lives, and
   * the session's TTL does the rest. Or Consul did not confirm a guarded write, which may have
   * been applied, or may be later while the lock is held.
   */
  CONSUL_LOCK_UNCONFIRMED = 24,
  /**
   * Consul gave no usable answer in time.
   */
  CONSUL_LOCK_UNAVAILABLE = 40,
  /**
   * Consul refused for want of rights.
   */
  CONSUL_LOCK_DENIED = 60,
  /**
   * Consul refused the request itself, or its answer is unknown to this library. Or the key of
   * the lock holds the data of another program, which stay as they are.
   */
  CONSUL_LOCK_REJECTED = 61,
  /**
   * A defect of this library. Please report it.
   */
  CONSUL_LOCK_INTERNAL = 90,
  /**
   * The object belongs to the parent process.
   */
  CONSUL_LOCK_FORKED = 91,
  /**
   * The system gave no thread, no descriptor, or no memory for a value, a request or a reply.
   * (If there is no memory even for a few bytes, the process is aborted, as every program in
   * Rust is.)
   */
  CONSUL_LOCK_NO_RESOURCES = 92,
} consul_lock_status;

/**
 * The name of a status, such as "NOT_ACQUIRED".
 *
 * @param status Any number: one that is not a status has the name "UNKNOWN".
 * @return Never NULL. Lives as long as the process.
 */
const char *consul_lock_status_name(int32_t status);

/* ---- Objects ---- */

/**
 * A lock on one key. Single use: acquire it once, release it, free it.
 */
typedef struct consul_lock consul_lock;

/**
 * Why a call failed: a status and one line for people. It belongs to the code that received it,
 * which frees it with consul_lock_error_free(). It never changes, so any number of threads may
 * read it.
 */
typedef struct consul_lock_error consul_lock_error;

/**
 * A set of options, by name. docs/OPTIONS.md lists them all. consul_lock_new() and
 * consul_lock_client_new() read it and do not keep it: one set can serve many calls, and may be
 * freed at once.
 *
 * It remembers the first refusal of a setter, and consul_lock_new() and consul_lock_client_new()
 * fail with it. So the status of the setters may be ignored: a wrong option never becomes a
 * default.
 */
typedef struct consul_lock_options consul_lock_options;

/**
 * How to reach Consul, and what the locks that use it share: connections, sessions kept for reuse,
 * one place in the line of each key. A simple program needs none: its locks use the default
 * client, which is made from the environment (CONSUL_HTTP_ADDR and the other variables of
 * docs/OPTIONS.md) on first use. Reference-counted; also usable in a child after fork.
 */
typedef struct consul_lock_client consul_lock_client;

/* ---- Taking a lock ---- */

/**
 * Makes a lock. Reads the options and the defaults, and sends nothing. The first lock that uses
 * the default client makes it, as consul_lock_client_new() does.
 *
 * @param key     What to lock. It is inserted into "lock_key_pattern". The result may be at most
 *                60,000 bytes long when percent-encoded. A key that Consul would change or refuse
 *                is refused: a leading '/', an empty, "." or ".." segment, characters that cannot
 *                be printed, spaces at either end, '..' or a space behind a percent-encoding.
 * @param options The lock's options. The defaults fill in the rest. NULL: all from the defaults.
 * @param error   See ERRORS.
 * @return Free it with consul_lock_free(). NULL on failure, with the code
 *         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
 *         CONSUL_LOCK_INVALID_OPTION: an option is wrong, or belongs to a client;
 *         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the default client cannot be
 *         made, as for consul_lock_client_new();
 *         CONSUL_LOCK_NO_RESOURCES: the same, or there is no memory for the value.
 */
CONSUL_LOCK_MUST_USE
consul_lock *consul_lock_new(const char *key,
                             const consul_lock_options *options,
                             consul_lock_error **error);

/**
 * Takes the lock. Waits for it up to the option "acquire_timeout_ms"; the default 0 makes exactly
 * one attempt. Waiters are served first come, first served, within a process and between processes
 * (option "fair"). Blocks; consul_lock_cancel() ends the wait at once.
 *
 * A lock is used up by its first acquire, whatever the outcome (except CONSUL_LOCK_VALUE_FAILED).
 * If the acquire fails, nothing is left behind in Consul, or the message says that the session's
 * TTL will remove it.
 *
 * @param lock  The lock.
 * @param error See ERRORS. The error of CONSUL_LOCK_NOT_ACQUIRED says who holds the lock.
 * @return CONSUL_LOCK_OK: the caller holds the lock, with its whole life ahead;
 *         CONSUL_LOCK_NOT_ACQUIRED: the lock was not free until the deadline;
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
 * Ends a pending acquire at once: it answers CONSUL_LOCK_CANCELLED, and is undone. An acquire that
 * comes later answers the same. A lock that is held stays held.
 *
 * @param lock The lock. NULL: nothing happens.
 */
void consul_lock_cancel(consul_lock *lock);

/**
 * Gives the lock back and removes its key. It can only ever touch this very lock. A pending
 * acquire of another thread is cancelled and undone. Blocks for at most the client's option
 * "release_timeout_ms".
 *
 * @param lock  The lock.
 * @param error See ERRORS.
 * @return CONSUL_LOCK_OK: the lock was held until now;
 *         CONSUL_LOCK_NOT_HELD: there was nothing to give back; harmless;
 *         CONSUL_LOCK_LOST: the lock had been lost before, so others may have worked meanwhile;
 *         CONSUL_LOCK_UNCONFIRMED: Consul did not confirm in time (an election of its leader takes
 *         3 to 13 seconds). The library goes on in the background while the process lives. A
 *         process that ends calls consul_lock_shutdown(), which waits for that: otherwise the lock
 *         may stand for up to two TTLs.
 */
consul_lock_status consul_lock_release(consul_lock *lock, consul_lock_error **error);

/**
 * Frees a lock. A held lock is released first, which waits at most the client's option
 * "release_timeout_ms". A pending acquire of another thread is cancelled. The session of a lost
 * lock is ended in the background. In a child after fork, a lock of the parent only frees its
 * memory. Calls of other threads that have begun are safe; calls that begin afterwards are not.
 *
 * @param lock The lock; not used afterwards. NULL: nothing happens.
 */
void consul_lock_free(consul_lock *lock);

/**
 * Frees a lock without giving it back: sends nothing. A held lock stays in Consul until its TTL
 * ends it, and so does the session of a lost lock. For finalizers, and for work that may be done
 * only once per TTL. A pending acquire of another thread is cancelled.
 *
 * @param lock The lock; not used afterwards. NULL: nothing happens.
 */
void consul_lock_abandon(consul_lock *lock);

/* ---- Errors ---- */

/**
 * The status that the failed call answered.
 *
 * @param error The error; NULL: no error, CONSUL_LOCK_OK.
 */
consul_lock_status consul_lock_error_code(const consul_lock_error *error);

/**
 * One line for people: what failed, on which key and address, what Consul said, what to do. It
 * never contains a token or a stored value.
 *
 * @param error The error; NULL: no error, the empty text.
 * @return Never NULL. Lives as long as the error.
 */
const char *consul_lock_error_message(const consul_lock_error *error);

/**
 * The HTTP status with which Consul answered, such as 403.
 *
 * @param error The error; NULL: 0.
 * @return 0 when the failure did not come with an HTTP status.
 */
int32_t consul_lock_error_http_status(const consul_lock_error *error);

/**
 * Whether the same call may well work later without any change: another process held the lock, or
 * Consul could not be reached. A lock is single use: try again with a new one.
 *
 * @param error The error; NULL: false.
 */
bool consul_lock_error_is_retryable(const consul_lock_error *error);

/**
 * How the lock was lost, for CONSUL_LOCK_LOST.
 *
 * @param error The error; NULL: 0.
 * @return A consul_lock_lost_reason; 0 for any other error.
 */
int32_t consul_lock_error_why_lost(const consul_lock_error *error);

/**
 * Frees an error.
 *
 * @param error The error; not used afterwards. NULL: nothing happens.
 */
void consul_lock_error_free(consul_lock_error *error);

/* ---- While it is held ---- */

/**
 * Whether the lock is held, as far as this process knows by its own clock: true from a successful
 * acquire until the release, the end of its life, or a loss that was noticed. While it is true, no
 * other process holds the lock, unless Consul ended its session, or an operator deleted its key,
 * before its time and the library has not noticed yet. Sends nothing.
 *
 * @param lock The lock. NULL: false.
 */
bool consul_lock_is_held(const consul_lock *lock);

/**
 * How much is left of the lock's life, by this process's own clock, which also counts while the
 * machine sleeps. Sends nothing.
 *
 * @param lock The lock. NULL: 0.
 * @return Milliseconds, rounded down; 0: the lock is not held.
 */
int64_t consul_lock_remaining_ms(const consul_lock *lock);

/**
 * The fencing token: a number that grows with every acquisition of this key (see FENCING). Tokens
 * can be compared within one datacenter and one life of its data.
 *
 * @param lock The lock. NULL: 0.
 * @return 0 before the lock was acquired. It stays the same afterwards, also when the lock is
 *         over.
 */
uint64_t consul_lock_fencing_token(const consul_lock *lock);

/**
 * Extends the life of a held lock to "lock_timeout_seconds" from now. For work that takes longer
 * than expected. Blocks for one request.
 *
 * @param lock  The lock.
 * @param error See ERRORS.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_LOST: the lock is lost, stop the work; CONSUL_LOCK_NOT_HELD;
 *         CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer, and the lock is held until
 *         consul_lock_remaining_ms() is 0; CONSUL_LOCK_DENIED; CONSUL_LOCK_REJECTED.
 */
consul_lock_status consul_lock_renew(consul_lock *lock, consul_lock_error **error);

/**
 * Asks Consul whether the lock is still held: also finds a lock that an operator took away. Does
 * not extend its life. Blocks for one request.
 *
 * @param lock  The lock.
 * @param error See ERRORS.
 * @return CONSUL_LOCK_OK: it is; else as consul_lock_renew().
 */
consul_lock_status consul_lock_check(const consul_lock *lock, consul_lock_error **error);

/**
 * Copies the full key: where the lock lives in Consul's KV store, such as
 * "locks/ephemeral/nightly-report".
 *
 * @param lock The lock. NULL: the empty text.
 * @param buf  Receives the text, see TEXT.
 * @param cap  The size of buf in bytes.
 * @return The length of the whole key in bytes, without the NUL.
 */
size_t consul_lock_key(const consul_lock *lock, char *buf, size_t cap);

/**
 * Copies the id of the Consul session that holds, or held, the lock.
 *
 * @param lock The lock. NULL: the empty text.
 * @param buf  Receives the text, see TEXT. 37 bytes are enough.
 * @param cap  The size of buf in bytes.
 * @return The length of the whole id in bytes, without the NUL; 0 before the lock was acquired.
 */
size_t consul_lock_session_id(const consul_lock *lock, char *buf, size_t cap);

/* ---- When it is lost ---- */

/**
 * How a lock was lost. The numbers are part of the ABI, as those of the statuses are.
 */
typedef enum {
  /**
   * Its life ended before it was released or renewed.
   */
  CONSUL_LOCK_LOST_REASON_EXPIRED = 1,
  /**
   * Consul ended its session: an operator did it, or the node that it was bound to left or was
   * removed.
   */
  CONSUL_LOCK_LOST_REASON_SESSION_GONE = 2,
  /**
   * Its key is gone: deleted, or removed with its session.
   */
  CONSUL_LOCK_LOST_REASON_KEY_GONE = 3,
  /**
   * Another session holds its key.
   */
  CONSUL_LOCK_LOST_REASON_TAKEN_OVER = 4,
} consul_lock_lost_reason;

/**
 * The name of a consul_lock_lost_reason, such as "KEY_GONE".
 *
 * @param reason Any number: one that is not a reason has the name "UNKNOWN".
 * @return Never NULL. Lives as long as the process.
 */
const char *consul_lock_lost_reason_name(int32_t reason);

/**
 * How the lock was lost. Sends nothing.
 *
 * @param lock The lock. NULL: 0.
 * @return A consul_lock_lost_reason; 0: the lock was not lost, as far as this process knows.
 */
int32_t consul_lock_why_lost(const consul_lock *lock);

/**
 * Is told that a lock is lost, and how. See CALLBACKS; it may also call consul_lock_free() on this
 * lock.
 */
typedef void (*consul_lock_lost_callback)(consul_lock_lost_reason reason, void *user_data);

/**
 * Frees a user_data. Called exactly once, after the last use of the user_data, by any thread.
 */
typedef void (*consul_lock_user_data_free)(void *user_data);

/**
 * Sets the function that is told when this lock is lost: once, and at the end of the lock's life
 * at the latest, also when no Consul can be reached. A loss is found (1) by the local clock when
 * the lease ends, (2) by the watch on the key while "monitor" is on (the default), (3) by a
 * renewal, (4) by any call that returns CONSUL_LOCK_LOST. A lock that is lost already is told at
 * once. A lock that was given back, abandoned or freed is never told.
 *
 * @param lock           The lock, acquired or not.
 * @param callback       The function. It takes the place of the one before. NULL: none.
 * @param user_data      Given to the function.
 * @param user_data_free Called exactly once with user_data: after the call of the function, when
 *                       another function has taken its place, or when the lock is freed or
 *                       abandoned; within this call if it fails or callback is NULL. NULL: nothing
 *                       is called.
 * @param error          See ERRORS.
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
 * Writes a key of Consul's KV store in one transaction with a check that this lock is held: a
 * holder that lost the lock cannot write, whether it knows of the loss or not. Such a write needs
 * no fencing token. Blocks for one request, which is repeated when its answer is lost.
 *
 * @param lock  The lock.
 * @param key   The key to write, as it stands in the KV store (it is not inserted into
 *              "lock_key_pattern"). Refused are this lock's own key and what consul_lock_new()
 *              refuses.
 * @param value Any bytes. NULL only if len is 0.
 * @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE, a little less with very long keys.
 * @param error See ERRORS.
 * @return CONSUL_LOCK_OK: the key was written while the lock was held;
 *         CONSUL_LOCK_LOST: the lock is lost, and nothing was written;
 *         CONSUL_LOCK_UNCONFIRMED: Consul's answer was lost. The key may have been written, or may
 *         be later, as long as the lock is in Consul. While the lock is held, the same call may be
 *         made again;
 *         CONSUL_LOCK_NOT_HELD, CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED,
 *         CONSUL_LOCK_NO_RESOURCES: nothing was written.
 */
consul_lock_status consul_lock_put_if_held(consul_lock *lock,
                                           const char *key,
                                           const void *value,
                                           size_t len,
                                           consul_lock_error **error);

/**
 * Deletes a key of Consul's KV store in the same way. A key that does not exist is fine.
 *
 * @param lock  The lock.
 * @param key   As for consul_lock_put_if_held().
 * @param error See ERRORS.
 * @return As consul_lock_put_if_held().
 */
consul_lock_status consul_lock_delete_if_held(consul_lock *lock,
                                              const char *key,
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
 * @param options The options.
 * @param name    The name of the option, such as "acquire_timeout_ms".
 * @param value   Its value. Numbers are decimal digits with an optional minus; yes and no are
 *                "true" and "false".
 * @param error   See ERRORS.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_OPTION: there is no such option, it cannot be set
 *         here, or the value is out of its range.
 */
consul_lock_status consul_lock_options_set(consul_lock_options *options,
                                           const char *name,
                                           const char *value,
                                           consul_lock_error **error);

/**
 * Sets an option that is a number, or yes (1) and no (0).
 *
 * @param options The options.
 * @param name    The name of the option, such as "acquire_timeout_ms".
 * @param value   Its value, in the unit that the name ends in.
 * @param error   See ERRORS.
 * @return As consul_lock_options_set().
 */
consul_lock_status consul_lock_options_set_int(consul_lock_options *options,
                                               const char *name,
                                               int64_t value,
                                               consul_lock_error **error);

/**
 * Sets an option that is bytes: the value to store under the key.
 *
 * @param options The options.
 * @param name    The name of the option: "value".
 * @param value   Any bytes. NULL only if len is 0.
 * @param len     How many bytes: at most CONSUL_LOCK_MAX_VALUE.
 * @param error   See ERRORS.
 * @return As consul_lock_options_set(); CONSUL_LOCK_NO_RESOURCES: there is no memory for the
 *         value.
 */
consul_lock_status consul_lock_options_set_bytes(consul_lock_options *options,
                                                 const char *name,
                                                 const void *value,
                                                 size_t len,
                                                 consul_lock_error **error);

/**
 * Frees options.
 *
 * @param options The options; not used afterwards. NULL: nothing happens.
 */
void consul_lock_options_free(consul_lock_options *options);

/* ---- Clients ---- */

/**
 * Makes a client. Sends nothing: a Consul that cannot be reached shows at the first use. Reads the
 * files that the options or the environment name, and waits at most 5 seconds for each kind.
 *
 * @param options The client's options. The environment fills in the rest. NULL: all from the
 *                environment.
 * @param error   See ERRORS.
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
 * @param client  The client. The options, and every lock made from them, hold references of their
 *                own.
 * @param error   See ERRORS.
 * @return CONSUL_LOCK_OK, or CONSUL_LOCK_INVALID_ARGUMENT for a NULL.
 */
consul_lock_status consul_lock_options_set_client(consul_lock_options *options,
                                                  const consul_lock_client *client,
                                                  consul_lock_error **error);

/**
 * Copies the statistics of a client as one JSON object: requests by kind, Raft writes, retries,
 * locks that wait or are held, connections, threads, percentiles of how long acquires and holds
 * took. docs/guide.md describes the fields; later versions may add some. Sends nothing.
 *
 * @param client The client. NULL: the default client; if that cannot be made, the empty text.
 * @param buf    Receives the text, see TEXT. 2,048 bytes are enough.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole text in bytes, without the NUL. The text of the next call may be
 *         longer.
 */
size_t consul_lock_client_stats(const consul_lock_client *client, char *buf, size_t cap);

/**
 * Gives up the caller's reference to a client. The options, the locks and the default that use the
 * client hold references of their own: the client ends with the last of them.
 *
 * @param client The client; not used afterwards. NULL: nothing happens.
 */
void consul_lock_client_free(consul_lock_client *client);

/* ---- Defaults ---- */

/**
 * Sets a process-wide default: "acquire_timeout_ms", "lock_timeout_seconds" or "lock_key_pattern".
 * Locks read it when they are made: a later change never touches a lock that exists.
 *
 * @param name  The name of the option.
 * @param value Its value, as text (see consul_lock_options_set()).
 * @param error See ERRORS.
 * @return As consul_lock_options_set().
 */
consul_lock_status consul_lock_defaults_set(const char *name,
                                            const char *value,
                                            consul_lock_error **error);

/**
 * Sets the client of the locks that are made without one. Locks that exist keep theirs.
 *
 * @param client The client; the default holds a reference of its own. NULL: back to the client
 *               that is made from the environment, once, when it is first used.
 */
void consul_lock_set_default_client(const consul_lock_client *client);

/* ---- The stored value ---- */

/**
 * The longest stored value, in bytes. (Consul cuts off a transaction of more than 512 KiB, base64
 * and all, instead of answering it.)
 */
#define CONSUL_LOCK_MAX_VALUE 390000

/**
 * Sets the value that this lock will store, instead of the option "value" and of the value
 * generator. Call it before consul_lock_acquire(). If both run at the same time, either value may
 * be stored.
 *
 * @param lock  The lock.
 * @param value Any bytes. NULL only if len is 0.
 * @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE.
 * @param error See ERRORS.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_ALREADY_USED: the acquire has begun, and nothing was
 *         changed;
 *         CONSUL_LOCK_NO_RESOURCES: there is no memory for the value.
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
 * Makes the value that a lock stores under its key: calls consul_lock_value_set() once and returns
 * 0. Any other number says that there is no value: the acquire then answers
 * CONSUL_LOCK_VALUE_FAILED, and the lock can be used again.
 *
 * consul_lock_acquire() calls it, in the caller's thread, before anything is sent; several threads
 * may do so at the same time. It may call any function of the library. It must return: no longjmp
 * and no C++ exception may leave it.
 */
typedef int (*consul_lock_value_generator)(consul_lock_value *value, void *user_data);

/**
 * Sets the function that makes the value of the locks that are made from now on without the option
 * "value". Without a generator, the value is a JSON object with "locked_at", the time of the
 * attempt that took the lock.
 *
 * @param generator      The function. NULL: back to "locked_at".
 * @param user_data      Given to the function at each call.
 * @param user_data_free Called exactly once with user_data: when another generator has taken its
 *                       place and the last lock made with this one is freed; within this call if
 *                       generator is NULL. NULL: nothing is called.
 */
void consul_lock_set_value_generator(consul_lock_value_generator generator,
                                     void *user_data,
                                     consul_lock_user_data_free user_data_free);

/**
 * Says what the value is. For value generators. The last call counts.
 *
 * @param value The place that the generator was called with.
 * @param bytes Any bytes. NULL only if len is 0.
 * @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or too many bytes;
 *         CONSUL_LOCK_NO_RESOURCES: there is no memory for it. After an error the place has no
 *         value.
 */
consul_lock_status consul_lock_value_set(consul_lock_value *value, const void *bytes, size_t len);

/* ---- The holder ---- */

/**
 * The holder of a lock at the moment when Consul was asked. It never changes, so any number of
 * threads may read it.
 */
typedef struct consul_lock_holder_info consul_lock_holder_info;

/**
 * Asks Consul which session holds the lock on a key. Blocks for one or two requests.
 *
 * @param client The client to ask with. NULL: the default client.
 * @param key    The key, as given to consul_lock_new().
 * @param holder Receives the holder, which the caller frees with consul_lock_holder_free(). It
 *               receives NULL when the lock is free, and on failure. Not NULL.
 * @param error  See ERRORS.
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
 * @param holder The holder. NULL: the empty text.
 * @param buf    Receives the text, see TEXT.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole text in bytes, without the NUL.
 */
size_t consul_lock_holder_session(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * Copies the name of the session that holds the lock. For a lock of this library it is such as
 * "consul_lock PROGRAM@HOST:PID NONCE".
 *
 * @param holder The holder. NULL: the empty text.
 * @param buf    Receives the text, see TEXT.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole text in bytes, without the NUL; 0: Consul would not say.
 */
size_t consul_lock_holder_name(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * Copies the name of the Consul node that the session is bound to: that of its "session_node",
 * else that of the agent through which it was made.
 *
 * @param holder The holder. NULL: the empty text.
 * @param buf    Receives the text, see TEXT.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole text in bytes, without the NUL; 0: Consul would not say.
 */
size_t consul_lock_holder_node(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * The holder's fencing token: what consul_lock_fencing_token() answers to the holder. It is read
 * from the ModifyIndex of the key, which grows when a program writes the key without taking the
 * lock.
 *
 * @param holder The holder. NULL: 0.
 */
uint64_t consul_lock_holder_fencing_token(const consul_lock_holder_info *holder);

/**
 * When the holder took the lock, by the holder's clock. It is read from "locked_at" in the value
 * that a lock stores by default.
 *
 * @param holder The holder. NULL: 0.
 * @return Milliseconds since 1970-01-01 UTC; 0: unknown, as another value is stored.
 */
int64_t consul_lock_holder_since_ms(const consul_lock_holder_info *holder);

/**
 * The TTL of the session that holds the lock. For a lock of this library it is
 * "lock_timeout_seconds".
 *
 * @param holder The holder. NULL: 0.
 * @return Milliseconds; 0: the session has no TTL, or Consul would not say.
 */
int64_t consul_lock_holder_ttl_ms(const consul_lock_holder_info *holder);

/**
 * Copies the value that is stored under the key: any bytes; no NUL is added. It is the data of
 * another program: trust nothing in it.
 *
 * @param holder The holder. NULL: no bytes.
 * @param buf    Receives at most cap bytes.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole value in bytes.
 */
size_t consul_lock_holder_value(const consul_lock_holder_info *holder, void *buf, size_t cap);

/**
 * Frees what consul_lock_holder() gave.
 *
 * @param holder The holder; not used afterwards. NULL: nothing happens.
 */
void consul_lock_holder_free(consul_lock_holder_info *holder);

/* ---- Log ---- */

/**
 * How important a line of the log is. The numbers are part of the ABI.
 */
typedef enum {
  /**
   * Somebody must look: a lock was lost, or something was left behind in Consul.
   */
  CONSUL_LOCK_LOG_LEVEL_ERROR = 1,
  /**
   * It may become worse: Consul cannot be reached, or does not confirm.
   */
  CONSUL_LOCK_LOG_LEVEL_WARN = 2,
  /**
   * Worth knowing once: something works otherwise than was asked for.
   */
  CONSUL_LOCK_LOG_LEVEL_INFO = 3,
  /**
   * For the search for faults.
   */
  CONSUL_LOCK_LOG_LEVEL_DEBUG = 4,
} consul_lock_log_level;

/**
 * Is told a line of the log: UTF-8, without a line break, valid only during the call. A line never
 * contains a token or a stored value.
 *
 * See CALLBACKS, with these differences: one thread calls it for the whole process, in the order
 * of the lines. It may block, which delays only later lines, of which at most 256 wait: the rest
 * is dropped, and a line says how many.
 */
typedef void (*consul_lock_log_callback)(consul_lock_log_level level,
                                         const char *line,
                                         void *user_data);

/**
 * Sets the function that is told the lines of the log: locks that were lost, releases that Consul
 * did not confirm, outages that last. There is one for the whole process, also for a child after
 * fork. Does not wait for a call of the function before that has not returned yet.
 *
 * @param callback       The function. NULL: the log is off, as at the beginning.
 * @param user_data      Given to the function at each call.
 * @param user_data_free Called exactly once with user_data: when another function has taken its
 *                       place and the last call has returned; within this call if callback is NULL
 *                       or the level is refused. NULL: nothing is called.
 * @param level          The least important consul_lock_log_level that is told: 1 to 4.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: there is no such level, and nothing was
 *         changed.
 */
consul_lock_status consul_lock_set_log_callback(consul_lock_log_callback callback,
                                                void *user_data,
                                                consul_lock_user_data_free user_data_free,
                                                int32_t level);

/* ---- Shutdown ---- */

/**
 * Optional orderly shutdown: destroys the sessions kept for reuse and waits for releases still in
 * progress. Without it, the library's work on a release that was UNCONFIRMED ends with the
 * process, and Consul removes that lock after up to two TTLs. Locks and clients stay usable
 * afterwards, but no session is kept for reuse any more.
 *
 * @param timeout_ms How long to wait at most, in milliseconds: 0 to 86,400,000.
 * @param error      See ERRORS.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_UNCONFIRMED: something was still in progress at the end of
 *         the time; CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
 */
consul_lock_status consul_lock_shutdown(int64_t timeout_ms, consul_lock_error **error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* CONSUL_LOCK_H */
