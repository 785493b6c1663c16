/*
 * libconsul_lock: distributed ephemeral locks on Consul.
 *
 * A critical section that only one process in the whole datacenter may run at a time takes a lock.
 * The lock has a bounded life: a holder that crashes can never block the others for ever. It is
 * deleted from Consul when it is given back.
 *
 *     consul_lock_error *error = NULL;
 *     consul_lock *lock = consul_lock_new("nightly-report", NULL, &error);
 *     if (consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK) {
 *         make_the_report();
 *         consul_lock_release(lock, NULL);
 *     }
 *     consul_lock_free(lock);
 *     consul_lock_error_free(error);
 *
 * CONSUL_LOCK_NOT_ACQUIRED says that somebody else works. These functions are all that a simple
 * program needs; Consul is found by CONSUL_HTTP_ADDR, else on 127.0.0.1:8500. (This example frees
 * one error: where consul_lock_new() failed, acquire overwrites that error without freeing it. A
 * longer program looks at the error after each call.)
 *
 * OWNERSHIP. What a function named _new returns, consul_lock_holder() stores, or any function
 * stores into `*error`, belongs to the caller, who frees it once with the matching _free. Everything
 * that is passed in is copied or counted: the caller may free it after the call. Text comes out by
 * copy, into (char *buf, size_t cap): at most cap bytes with the NUL, and the length of the whole
 * text is returned. All text is UTF-8. NULL in place of an object is an error or does nothing; it is
 * never a crash. In the comments below, a pointer may be NULL where they say so.
 *
 * ERRORS. The last parameter `consul_lock_error **error` may be NULL. It is only ever written: NULL
 * when the call worked, else a new error with a code and one line for people; what was there before
 * is not read and not freed. So free an error before using its variable again. CONSUL_LOCK_OK is 0:
 * compare with it, as `if (consul_lock_acquire(lock, NULL))` is true on FAILURE.
 *
 * THREADS. Every function may be called by any thread at any time, unless the object was freed
 * before. `const` marks what only observes. No function may be called in a signal handler. No
 * function is a cancellation point: pthread_cancel() takes effect after it has returned (call
 * consul_lock_cancel() to end a waiting acquire). errno, the locale, and signal dispositions are left
 * alone. The library's threads block signals.
 *
 * FORK. In a child, a lock made by the parent answers CONSUL_LOCK_FORKED, and freeing it frees only
 * memory: it stays the parent's. Clients and the defaults work in the child, which can take locks
 * of its own. Options that another thread was changing during the fork are not for the child.
 *
 * EXIT AND UNLOAD. Nothing happens at exit. A lock that was not released ends with its TTL; a release
 * that Consul has not confirmed yet is waited for by consul_lock_shutdown(). After dlclose() the code
 * stays mapped.
 *
 * FENCING. A lock cannot stop a holder that was paused (a long page fault, a suspended machine)
 * and wakes up after the end of its lock's life. Where that must do no harm, send
 * consul_lock_fencing_token() along with every write, and let the receiver refuse a smaller token
 * than the largest it has seen. consul_lock_remaining_ms() tells how much life is left, and
 * "lock_timeout_seconds" should be well above what the work takes. Locks are advisory: they bind
 * those who take them.
 *
 * SESSIONS. Consul ends a session before its time when it removes the node that the session is bound
 * to: the agent's, when that agent leaves; a server's, when that server was down for some ten seconds.
 * Then another process may take the lock before its holder is told. The client option "session_node"
 * binds sessions to a node that no agent owns. docs/guarantees.md says what ends sessions, and when.
 */


#ifndef CONSUL_LOCK_H
#define CONSUL_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header; that of the library is consul_lock_version(). */
#define CONSUL_LOCK_VERSION "0.1.0"
/** The first number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_MAJOR 0
/** The second number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_MINOR 1
/** The third number of CONSUL_LOCK_VERSION. */
#define CONSUL_LOCK_VERSION_PATCH 0
/** For comparisons: major * 1000000 + minor * 1000 + patch. */
#define CONSUL_LOCK_VERSION_NUMBER 1000

/** The result of such a function must be looked at. */
#if defined(__GNUC__) || defined(__clang__)
#define CONSUL_LOCK_MUST_USE __attribute__((warn_unused_result))
#else
#define CONSUL_LOCK_MUST_USE
#endif

/**
 * The interface that this library speaks: changes whenever a program that was compiled against an
 * older header could not run with it.
 */
#define CONSUL_LOCK_ABI_VERSION 2

/**
 * The longest stored value, in bytes: a transaction over 512 KiB, base64 and all, is not answered
 * by Consul but cut off.
 */
#define CONSUL_LOCK_MAX_VALUE 390000

/**
 * The outcome of a call. The numbers are part of the ABI: they never change and a retired number
 * is never used again. 1 to 19: misuse; 20 to 39: outcomes; 40 to 59: Consul could not be
 * reached; 60 to 79: Consul refused; 90 to 99: internal.
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
   * The lock is single use and was used before.
   */
  CONSUL_LOCK_ALREADY_USED = 4,
  /**
   * The value generator said that it has no value. Nothing was sent and the lock is not used up.
   */
  CONSUL_LOCK_VALUE_FAILED = 5,
  /**
   * Consul said until the deadline that the lock is not free: somebody has it, or its
   * lock-delay runs.
   */
  CONSUL_LOCK_NOT_ACQUIRED = 20,
  /**
   * The call was ended by a cancel.
   */
  CONSUL_LOCK_CANCELLED = 21,
  /**
   * The lock was held once and is not any more: it expired, or Consul or an operator ended it.
   */
  CONSUL_LOCK_LOST = 22,
  /**
   * The lock is not held: never acquired, given back, or used up.
   */
  CONSUL_LOCK_NOT_HELD = 23,
  /**
   * Consul did not confirm a release in time: the library goes on while the process lives; the
   * session's TTL does the rest. Or Consul did not confirm a guarded write, which may have been
   * applied, and may still be while the lock is held.
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
   * Consul refused the request itself, or answered something that this library does not know. Or
   * the key of the lock holds the data of another program, which stay as they are.
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
   * The system gave no thread, no descriptor, or no memory for a value, a request or a reply. (Where it
   * has none even for a few bytes the process is aborted, as with every program in Rust.)
   */
  CONSUL_LOCK_NO_RESOURCES = 92,
} consul_lock_status;

/**
 * How a lock was lost. The numbers are part of the ABI, as those of the statuses.
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
 * What an event tells.
 */
typedef enum {
  /**
   * No event: NULL was given.
   */
  CONSUL_LOCK_EVENT_NONE = 0,
  /**
   * A call has ended: consul_lock_event_code() is its consul_lock_status.
   */
  CONSUL_LOCK_EVENT_DONE = 1,
  /**
   * consul_lock_holder_start() has ended: the same, and consul_lock_event_take_holder().
   */
  CONSUL_LOCK_EVENT_HOLDER = 2,
  /**
   * A lock was lost: consul_lock_event_code() is the consul_lock_lost_reason.
   */
  CONSUL_LOCK_EVENT_LOST = 3,
  /**
   * A line of the log: consul_lock_event_code() is its consul_lock_log_level, and
   * consul_lock_event_line() copies it.
   */
  CONSUL_LOCK_EVENT_LOG = 4,
} consul_lock_event_type;

/**
 * How to reach Consul, and everything that the locks which use it share. A simple program needs
 * none: its locks use the default client, made from the environment (CONSUL_HTTP_ADDR
 * and the others of docs/OPTIONS.md) on first use. Reference counted; usable from any thread at any time, and in
 * a child after fork.
 */
typedef struct consul_lock_client consul_lock_client;

/**
 * Why a call failed: a status and one line for people. Belongs to who received it, who frees it
 * with consul_lock_error_free(). Never changes, so any number of threads may read it.
 */
typedef struct consul_lock_error consul_lock_error;

/**
 * One thing that happened. Belongs to who took it from the queue; used by one thread at a time.
 */
typedef struct consul_lock_event consul_lock_event;

/**
 * Who held a lock at the moment when Consul was asked. Never changes, so any number of threads may
 * read it.
 */
typedef struct consul_lock_holder_info consul_lock_holder_info;

/**
 * A lock on one key. Single use: acquire it once, release it, free it.
 */
typedef struct consul_lock consul_lock;

/**
 * A set of options, by name: docs/OPTIONS.md lists them all. It is read when a lock or a client is
 * made from it, which neither keeps nor changes it: it can serve many, and be freed at once.
 *
 * It remembers the first refusal of a setter, and consul_lock_new() and consul_lock_client_new()
 * answer with it. So the status of the setters may be ignored: nothing ever runs with a default
 * that was not asked for.
 */
typedef struct consul_lock_options consul_lock_options;

/**
 * A queue of events, for programs with an event loop and for languages whose interpreter must not be
 * entered by threads of others: instead of calling the program, the library puts an event here, and
 * makes a descriptor readable.
 *
 *   int32_t fd;
 *   consul_lock_queue *queue = consul_lock_queue_new(&fd, &error);
 *   consul_lock_sender *sender = consul_lock_sender_new(queue, 42);
 *   consul_lock_acquire_start(lock, consul_lock_queue_done, sender, &error);
 *   ... the event loop says that fd is readable: read what is there and throw it away, then
 *   while ((event = consul_lock_queue_next(queue)) != NULL) { ... tag 42 ... }
 *
 * Any thread may use it at any time. It belongs to the process that made it: in a child after fork
 * nothing goes into it and nothing comes out.
 */
typedef struct consul_lock_queue consul_lock_queue;

/**
 * The right to put events into a queue, under a number of yours: a user_data for the functions
 * consul_lock_queue_done(), consul_lock_queue_holder_done(), consul_lock_queue_lost() and
 * consul_lock_queue_log(), which are given to the library as callbacks.
 */
typedef struct consul_lock_sender consul_lock_sender;

/**
 * Where a value generator puts the value; valid only during its call.
 */
typedef struct consul_lock_value consul_lock_value;

/**
 * Told how a call ended that was begun by a function named _start, such as
 * consul_lock_acquire_start(). `status` is what the call without _start would have returned. `error`
 * is NULL for CONSUL_LOCK_OK, else a new error that belongs to the callback, which frees it with
 * consul_lock_error_free(), then or later, in any thread: so a binding can pass the pointer on to the
 * thread that waits for it. (It is the callback's own, and not lent, because some languages run a
 * callback after the library's thread has gone on.)
 *
 * It is called exactly once, by a thread of the library that does nothing else, one call after the
 * other: one that does not return delays other callbacks of the same client, and nothing else. It may
 * call any function of the library, also consul_lock_free() on this lock. It must return: no longjmp
 * and no C++ exception may leave it.
 */
typedef void (*consul_lock_done)(consul_lock_status status,
                                 consul_lock_error *error,
                                 void *user_data);

/**
 * Told that a lock is lost, and how.
 *
 * It is called by a thread of the library that does nothing else, one call after the other: one that
 * does not return delays other callbacks of the same client, and nothing else. It may call any
 * function of the library, also consul_lock_free() on this lock. It must return: no longjmp and no C++
 * exception may leave it.
 */
typedef void (*consul_lock_lost_callback)(consul_lock_lost_reason reason, void *user_data);

/**
 * Frees a user_data. Called exactly once, after the last use of it, by any thread.
 */
typedef void (*consul_lock_user_data_free)(void *user_data);

/**
 * Makes the value that a lock stores under its key: calls consul_lock_value_set() once and returns
 * 0. Anything but 0 means that it has no value: the acquire then answers
 * CONSUL_LOCK_VALUE_FAILED, and the lock can be used again.
 *
 * It is called in consul_lock_acquire(), by the thread that called that, before anything is sent;
 * by several threads at once when several acquire. It may call any function of the library. It
 * must return: no longjmp and no C++ exception may leave it.
 */
typedef int (*consul_lock_value_generator)(consul_lock_value *value, void *user_data);

/**
 * Told how a consul_lock_holder_start() ended. `status` is what consul_lock_holder() would have
 * returned, and `holder` what it would have stored: it belongs to the callback, and so does `error`,
 * which is NULL for CONSUL_LOCK_OK. Otherwise as consul_lock_done.
 */
typedef void (*consul_lock_holder_done)(consul_lock_status status,
                                        consul_lock_holder_info *holder,
                                        consul_lock_error *error,
                                        void *user_data);

/**
 * Told a line of the log: UTF-8, without a line break, valid only during the call. Never contains a
 * token or a stored value.
 *
 * It is called by a thread of the library, in the order of the lines, never twice at once. It may
 * call any function of the library, and may block: that delays only later lines, of which 256 wait;
 * beyond them lines are dropped, and a line says how many. It must return: no longjmp and no C++
 * exception may leave it.
 */
typedef void (*consul_lock_log_callback)(consul_lock_log_level level,
                                         const char *line,
                                         void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a lock. Reads the options and the defaults; sends nothing. The first lock that uses the
 * default client makes it, as consul_lock_client_new() does. Any thread.
 *
 * @param key     What to lock: UTF-8. It is put into the default "lock_key_pattern" to make the key
 *                in Consul's KV store, which has 60,000 bytes at most as it stands in a URL, where
 *                all but letters, digits and -._~/ take three times their place. Refused are keys that
 *                Consul would change or refuse: with a leading '/', an empty, "." or ".." segment,
 *                characters that cannot be printed, spaces at either end, or '..' or a space behind
 *                a percent-encoding.
 * @param options The lock's options; the defaults fill in what they leave out. NULL: all from the
 *                defaults. Not kept.
 * @param error   NULL, or receives NULL or a new error, which the caller frees.
 * @return The caller frees it with consul_lock_free(). NULL on failure, with the code
 *         CONSUL_LOCK_INVALID_ARGUMENT: key is NULL, not UTF-8, or refused;
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
 * Sets the value that this lock will store, instead of the option "value" and of the value
 * generator. For bindings, whose generators run in their own language. Any thread; never blocks.
 * Before the acquire is called: which of two values a call beside it has stored is open.
 *
 * @param lock  The lock.
 * @param value Any bytes. Copied. NULL only if len is 0.
 * @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE.
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_ALREADY_USED: its acquire has begun before, and nothing was
 *         changed; CONSUL_LOCK_NO_RESOURCES: there is no memory for the value; CONSUL_LOCK_FORKED;
 *         CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or too many bytes.
 */
consul_lock_status consul_lock_set_value(consul_lock *lock,
                                         const void *value,
                                         size_t len,
                                         consul_lock_error **error);

/**
 * Takes the lock. Waits for it up to the option "acquire_timeout_ms"; its default 0 makes exactly
 * one attempt. Who waits is served in the order of coming, within the process and between processes
 * (option "fair"). Any thread; blocks; consul_lock_cancel() ends it at once.
 *
 * CONSUL_LOCK_OK is 0, so `if (consul_lock_acquire(lock, NULL))` is true on FAILURE. Always compare
 * with CONSUL_LOCK_OK.
 *
 * A lock is used up by its first acquire, whatever the outcome (CONSUL_LOCK_VALUE_FAILED
 * excepted). If it fails, nothing is left behind in Consul, or the message says that the session's
 * TTL will do it.
 *
 * @param lock  The lock.
 * @param error NULL, or receives NULL or a new error, which the caller frees. The error of
 *              CONSUL_LOCK_NOT_ACQUIRED says who holds the lock.
 * @return CONSUL_LOCK_OK: it is yours, with its whole life ahead;
 *         CONSUL_LOCK_NOT_ACQUIRED: somebody else had it until the deadline;
 *         CONSUL_LOCK_CANCELLED; CONSUL_LOCK_ALREADY_USED: the lock was acquired before;
 *         CONSUL_LOCK_VALUE_FAILED: the value generator has no value;
 *         CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer in time;
 *         CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED: Consul refused;
 *         CONSUL_LOCK_REJECTED also: the key holds the data of another program, which the library
 *         neither overwrites nor deletes;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, descriptor or memory, also for what
 *         "auto_renew" promises; CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock is NULL.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_acquire(consul_lock *lock,
                                       consul_lock_error **error);

/**
 * As consul_lock_acquire(), without waiting: `done` is told the outcome. Any thread; never blocks.
 *
 * While it waits it needs no thread of its own. consul_lock_cancel(), consul_lock_free() and
 * consul_lock_abandon() end it: `done` is told CONSUL_LOCK_CANCELLED, unless the outcome was decided
 * before. A lock that is freed before `done` was told CONSUL_LOCK_OK is given back by that.
 *
 * @param lock      The lock.
 * @param done      Told the outcome exactly once, never inside this call, but perhaps before it
 *                  returns; not at all if this call fails.
 * @param user_data Given to done. It can be freed there; if this call fails it is still the caller's.
 * @param error     NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_acquire() answers comes
 *         there, CONSUL_LOCK_ALREADY_USED too, but for what follows.
 *         CONSUL_LOCK_VALUE_FAILED: the value generator, which runs inside this call, has no value;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread (for done, or for "auto_renew"), and
 *         the lock is not used up;
 *         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock or done is NULL.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_acquire_start(consul_lock *lock,
                                             consul_lock_done done,
                                             void *user_data,
                                             consul_lock_error **error);

/**
 * As consul_lock_release(), without waiting: `done` is told the outcome, at the latest after the
 * client's option "release_timeout_ms". The lock may be freed at once. Any thread; never blocks.
 *
 * @param lock      The lock.
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_release() answers comes
 *         there, but for what follows.
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and the lock is as it was;
 *         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock or done is NULL.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_release_start(consul_lock *lock,
                                             consul_lock_done done,
                                             void *user_data,
                                             consul_lock_error **error);

/**
 * Gives the lock back and removes its key, at once. Can only ever touch this very lock. A pending
 * acquire of another thread is cancelled and undone. Any thread; blocks for at most the client's
 * option "release_timeout_ms".
 *
 * @param lock  The lock.
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: it was held until now;
 *         CONSUL_LOCK_NOT_HELD: there was nothing to give back; harmless;
 *         CONSUL_LOCK_LOST: it had been lost before, so others may have worked meanwhile;
 *         CONSUL_LOCK_UNCONFIRMED: Consul did not confirm in time (an election of its leader takes 3
 *         to 13 seconds); the library goes on in the background while the process lives. A process
 *         that ends calls consul_lock_shutdown(), which waits for that: otherwise the lock may stand
 *         for up to two TTLs;
 *         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock is NULL.
 */
consul_lock_status consul_lock_release(consul_lock *lock,
                                       consul_lock_error **error);

/**
 * Frees a lock. A held one is released first, waiting at most the client's option
 * "release_timeout_ms". The session of a lost one is ended in the background. A pending acquire of
 * another thread is cancelled. In a child after fork, a lock of the parent only frees its memory. Any
 * thread; a call of another thread that has begun is safe, one that begins afterwards is not.
 *
 * @param lock The lock; not used afterwards. NULL: nothing happens.
 */
void consul_lock_free(consul_lock *lock);

/**
 * Frees a lock without giving it back, without a request and without blocking: a held lock stays
 * in Consul until its TTL ends it, and so does the session of a lost one. For finalizers, and for
 * work that may be done only once per TTL. A pending acquire of another thread is cancelled. Any
 * thread.
 *
 * @param lock The lock; not used afterwards. NULL: nothing happens.
 */
void consul_lock_abandon(consul_lock *lock);

/**
 * Ends a pending acquire at once: it answers CONSUL_LOCK_CANCELLED, and is undone. Sticky: an
 * acquire that comes later answers so, too. Does nothing to a lock that is held. Any thread; never
 * blocks; not for signal handlers.
 *
 * @param lock The lock. NULL: nothing happens.
 */
void consul_lock_cancel(consul_lock *lock);

/**
 * Extends the life of a held lock: "lock_timeout_seconds" from now. For work that takes longer than
 * was thought. Any thread; blocks for one request.
 *
 * @param lock  The lock.
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_LOST: it is not ours any more, stop the work;
 *         CONSUL_LOCK_NOT_HELD; CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer, the lock is
 *         held until consul_lock_remaining_ms() is 0; CONSUL_LOCK_DENIED; CONSUL_LOCK_REJECTED;
 *         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock is NULL.
 */
consul_lock_status consul_lock_renew(consul_lock *lock, consul_lock_error **error);

/**
 * As consul_lock_renew(), without waiting: `done` is told the outcome. Any thread; never
 * blocks.
 *
 * @param lock      The lock.
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_renew()
 *         answers comes there, but for what follows.
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread; CONSUL_LOCK_FORKED;
 *         CONSUL_LOCK_INVALID_ARGUMENT: lock or done is NULL.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_renew_start(consul_lock *lock,
                                           consul_lock_done done,
                                           void *user_data,
                                           consul_lock_error **error);

/**
 * Asks Consul whether the lock is still held: also finds a lock that an operator took away. Does
 * not extend its life. Any thread; blocks for one request.
 *
 * @param lock  The lock.
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return As consul_lock_renew(): CONSUL_LOCK_OK: it is.
 */
consul_lock_status consul_lock_check(const consul_lock *lock, consul_lock_error **error);

/**
 * As consul_lock_check(), without waiting: `done` is told the outcome. Any thread; never
 * blocks.
 *
 * @param lock      The lock.
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_check()
 *         answers comes there, but for what follows.
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread; CONSUL_LOCK_FORKED;
 *         CONSUL_LOCK_INVALID_ARGUMENT: lock or done is NULL.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_check_start(const consul_lock *lock,
                                           consul_lock_done done,
                                           void *user_data,
                                           consul_lock_error **error);

/**
 * Writes a key of Consul's KV store, in one transaction with a check that this lock is held: who lost
 * it, known or not, cannot write. For a result that must not be overwritten by a holder of the past;
 * it needs no fencing token. Any thread; blocks for one request, which is repeated when its answer is
 * lost.
 *
 * @param lock  The lock.
 * @param key   The key to write: UTF-8, as it stands in the KV store (not put
 *              into "lock_key_pattern"). Refused are what consul_lock_new() refuses, and this lock's
 *              own key.
 * @param value What to store: any bytes. Copied. NULL only if len is 0.
 * @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE, a little less with very long keys.
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: it was written while the lock was held;
 *         CONSUL_LOCK_LOST: the lock is not ours any more, and nothing was written;
 *         CONSUL_LOCK_UNCONFIRMED: Consul's answer was lost; it may have been written, or may be
 *         later, as long as the lock is in Consul. While the lock is held, the same call may be made
 *         again;
 *         CONSUL_LOCK_NOT_HELD; CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED:
 *         nothing was written; CONSUL_LOCK_NO_RESOURCES: the same, for want of memory, a thread or a
 *         descriptor; CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a key or value that
 *         is refused.
 */
consul_lock_status consul_lock_put_if_held(consul_lock *lock,
                                           const char *key,
                                           const void *value,
                                           size_t len,
                                           consul_lock_error **error);

/**
 * As consul_lock_put_if_held(), without waiting: `done` is told the outcome. Two guarded writes that are
 * under way at once may be applied in either order. Any thread; never blocks.
 *
 * @param lock      The lock.
 * @param key       As for consul_lock_put_if_held(). Copied.
 * @param value     What to store: any bytes. Copied. NULL only if len is 0.
 * @param len       How many bytes: as for consul_lock_put_if_held().
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_put_if_held()
 *         answers comes there, but for what follows.
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, or no memory for the value;
 *         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a key or value that is refused.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_put_if_held_start(consul_lock *lock,
                                                 const char *key,
                                                 const void *value,
                                                 size_t len,
                                                 consul_lock_done done,
                                                 void *user_data,
                                                 consul_lock_error **error);

/**
 * Deletes a key of Consul's KV store in the same way. A key that does not exist is fine.
 *
 * @param lock  The lock.
 * @param key   As for consul_lock_put_if_held().
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return As consul_lock_put_if_held().
 */
consul_lock_status consul_lock_delete_if_held(consul_lock *lock,
                                              const char *key,
                                              consul_lock_error **error);

/**
 * As consul_lock_delete_if_held(), without waiting: `done` is told the outcome. Any thread; never
 * blocks.
 *
 * @param lock      The lock.
 * @param key       As for consul_lock_put_if_held(). Copied.
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_delete_if_held()
 *         answers comes there, but for what follows.
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread; CONSUL_LOCK_FORKED;
 *         CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a key that is refused.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_delete_if_held_start(consul_lock *lock,
                                                    const char *key,
                                                    consul_lock_done done,
                                                    void *user_data,
                                                    consul_lock_error **error);

/**
 * Sets who is told when this lock is lost: once, and at the end of the lock's life at the latest,
 * also when no Consul can be reached. The library notices what it asks about: the end of the life by
 * the clock; the end of the session when it is renewed; and what a call such as consul_lock_check(),
 * consul_lock_put_if_held() or consul_lock_release() answers with CONSUL_LOCK_LOST. A lock that is
 * lost already is told at once (by the same thread, perhaps after this call has returned). One that
 * was given back, abandoned or freed is not. Any thread; never blocks.
 *
 * @param lock           The lock, acquired or not.
 * @param callback       The function; takes the place of the one before. NULL: nobody is told.
 * @param user_data      Given to the function.
 * @param user_data_free Called exactly once with user_data, after its last use, by any thread: after
 *                       the call of the function, or when another one has taken its place, or when
 *                       the lock is freed or abandoned; in this very call if it fails or callback is
 *                       NULL. NULL: nothing is called.
 * @param error          NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and nothing was
 *         changed; CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock is NULL.
 */
consul_lock_status consul_lock_set_lost_callback(consul_lock *lock,
                                                 consul_lock_lost_callback callback,
                                                 void *user_data,
                                                 consul_lock_user_data_free user_data_free,
                                                 consul_lock_error **error);

/**
 * Whether the lock is held, as far as this process can know by its own clock: true from a
 * successful acquire until the release, the end of its life, or a loss that was noticed. While it is
 * true, no other process holds the lock, unless Consul ended its session or an operator deleted its
 * key before its time, and that was not noticed yet. Asks nobody. Any thread; never blocks.
 *
 * @param lock The lock. NULL: false.
 */
bool consul_lock_is_held(const consul_lock *lock);

/**
 * How the lock was lost. Asks nobody. Any thread; never blocks.
 *
 * @param lock The lock. NULL: 0.
 * @return A consul_lock_lost_reason; 0: it was not lost, as far as this process knows.
 */
int32_t consul_lock_why_lost(const consul_lock *lock);

/**
 * How much is left of the lock's life, by this process's own clock, which counts while the machine
 * sleeps. Asks nobody. Any thread; never blocks.
 *
 * @param lock The lock. NULL: 0.
 * @return Milliseconds, rounded down; 0 when it is not held.
 */
int64_t consul_lock_remaining_ms(const consul_lock *lock);

/**
 * The fencing token: a number that grows with every acquisition of this key. Send it along with
 * what you write, and let the receiver refuse a smaller one than it has seen: that stops a holder
 * that was paused past the end of its lock. Comparable within one datacenter, and one life of its
 * data. Any thread; never blocks.
 *
 * @param lock The lock. NULL: 0.
 * @return 0 before the lock was acquired; stays the same afterwards, also when it is over.
 */
uint64_t consul_lock_fencing_token(const consul_lock *lock);

/**
 * Copies the full key: where the lock lives in Consul's KV store, such as
 * "locks/ephemeral/nightly-report". Any thread; never blocks.
 *
 * @param lock The lock. NULL: the empty text.
 * @param buf  Receives at most cap bytes, the NUL included, cut where a UTF-8 character ends. NULL:
 *             nothing is copied.
 * @param cap  The size of buf in bytes.
 * @return The length of the whole key in bytes, without the NUL.
 */
size_t consul_lock_key(const consul_lock *lock, char *buf, size_t cap);

/**
 * Copies the id of the Consul session that holds, or held, the lock. Any thread; never blocks.
 *
 * @param lock The lock. NULL: the empty text.
 * @param buf  Receives at most cap bytes, the NUL included; 37 are enough. NULL: nothing is copied.
 * @param cap  The size of buf in bytes.
 * @return The length of the whole id in bytes, without the NUL; 0 before the lock was acquired.
 */
size_t consul_lock_session_id(const consul_lock *lock, char *buf, size_t cap);

/**
 * Makes an empty set of options. Any thread.
 *
 * @return The caller frees it with consul_lock_options_free(). NULL: out of resources.
 */
CONSUL_LOCK_MUST_USE consul_lock_options *consul_lock_options_new(void);

/**
 * Sets an option from text. The last setting of an option counts. Any thread.
 *
 * @param options The options.
 * @param name    The name of the option, such as "acquire_timeout_ms".
 * @param value   Its value: UTF-8. Numbers are decimal digits with an optional minus; yes and
 *                no are "true" and "false". Copied.
 * @param error   NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_OPTION: there is no such option, it cannot be set
 *         here, or the value is out of its range; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or not
 *         UTF-8.
 */
consul_lock_status consul_lock_options_set(consul_lock_options *options,
                                           const char *name,
                                           const char *value,
                                           consul_lock_error **error);

/**
 * Sets an option that is a number, or yes (1) or no (0). Any thread.
 *
 * @param options The options.
 * @param name    The name of the option, such as "acquire_timeout_ms".
 * @param value   Its value, in the unit that the name ends in.
 * @param error   NULL, or receives NULL or a new error, which the caller frees.
 * @return As consul_lock_options_set().
 */
consul_lock_status consul_lock_options_set_int(consul_lock_options *options,
                                               const char *name,
                                               int64_t value,
                                               consul_lock_error **error);

/**
 * Sets an option that is bytes: the value to store under the key. Any thread.
 *
 * @param options The options.
 * @param name    The name of the option: "value".
 * @param value   The bytes, which may contain NULs. Copied. NULL only if len is 0.
 * @param len     How many bytes: at most 390,000.
 * @param error   NULL, or receives NULL or a new error, which the caller frees.
 * @return As consul_lock_options_set(); CONSUL_LOCK_NO_RESOURCES: there is no memory for the value.
 */
consul_lock_status consul_lock_options_set_bytes(consul_lock_options *options,
                                                 const char *name,
                                                 const void *value,
                                                 size_t len,
                                                 consul_lock_error **error);

/**
 * Sets the client that a lock uses, instead of the default client. Any thread.
 *
 * @param options The options of a lock.
 * @param client  The client. The options, and every lock made from them, hold a reference of their
 *                own: the caller may free its own at once.
 * @param error   NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: a NULL.
 */
consul_lock_status consul_lock_options_set_client(consul_lock_options *options,
                                                  const consul_lock_client *client,
                                                  consul_lock_error **error);

/**
 * Frees options.
 *
 * @param options The options; not used afterwards. NULL: nothing happens.
 */
void consul_lock_options_free(consul_lock_options *options);

/**
 * Makes a client. Sends nothing: a Consul that cannot be reached shows at the first use. Reads the
 * files that the options or the environment name, and waits 5 seconds at most for each kind. Any
 * thread.
 *
 * @param options The client's options; the environment fills in what they leave out. NULL: all
 *                from the environment. Not kept.
 * @param error   NULL, or receives NULL or a new error, which the caller frees.
 * @return The caller frees it with consul_lock_client_free(). NULL on failure, with the code
 *         CONSUL_LOCK_INVALID_OPTION: an option is wrong, or belongs to a lock;
 *         CONSUL_LOCK_INVALID_ENVIRONMENT: a variable is wrong. Either also for a file that it names
 *         and that cannot be used, or was not read within 5 seconds;
 *         CONSUL_LOCK_UNAVAILABLE: the system's CAs were not read within 5 seconds;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread to read the files.
 */
CONSUL_LOCK_MUST_USE
consul_lock_client *consul_lock_client_new(const consul_lock_options *options,
                                           consul_lock_error **error);

/**
 * Gives up the caller's reference to a client. Options, locks and the default that use it hold
 * their own: it ends with the last of them.
 *
 * @param client The client; not used afterwards. NULL: nothing happens.
 */
void consul_lock_client_free(consul_lock_client *client);

/**
 * Copies what this process did with a client until now, as one JSON object: requests by kind, Raft
 * writes, retries, locks that wait or are held, connections, threads, percentiles of how long acquires
 * and holds took. The fields are described in docs/guide.md; later versions may add some. Asks nobody.
 * Any thread; never blocks.
 *
 * @param client The client. NULL: the default client; where that cannot be made, the empty text.
 * @param buf    Receives at most cap bytes, the NUL included; 2,048 are enough. NULL: nothing is
 *               copied.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole text in bytes, without the NUL. The numbers may be longer in the
 *         next call.
 */
size_t consul_lock_client_stats(const consul_lock_client *client,
                                char *buf,
                                size_t cap);

/**
 * Sets a process-wide default: "acquire_timeout_ms", "lock_timeout_seconds" or "lock_key_pattern".
 * Locks read it when they are made: a later change never touches a lock that exists. Any thread.
 *
 * @param name  The name of the option.
 * @param value Its value, as text (see consul_lock_options_set()). Copied.
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return As consul_lock_options_set().
 */
consul_lock_status consul_lock_defaults_set(const char *name,
                                            const char *value,
                                            consul_lock_error **error);

/**
 * Sets the client of the locks that are given none. Locks that exist keep theirs. Any thread.
 *
 * @param client The client; the default holds a reference of its own. NULL: back to the one from
 *               the environment, which is made once, when it is first used.
 */
void consul_lock_set_default_client(const consul_lock_client *client);

/**
 * Sets what makes the value that a lock stores under its key, for the locks that are made from now
 * on and have no option "value". Without one, the value is a JSON object with "locked_at", the
 * time of the attempt that took the lock. Any thread.
 *
 * @param generator      The function. NULL: back to "locked_at".
 * @param user_data      Given to the function at each call. Any thread may use it, and several at
 *                       once.
 * @param user_data_free Called exactly once with user_data, after its last use: when another
 *                       generator has taken its place and the last lock made with this one is
 *                       freed; in this very call if generator is NULL. NULL: nothing is called.
 */
void consul_lock_set_value_generator(consul_lock_value_generator generator,
                                     void *user_data,
                                     consul_lock_user_data_free user_data_free);

/**
 * Says what the value is; for value generators. The last call counts.
 *
 * @param value The place that the generator was called with.
 * @param bytes The value: any bytes. Copied. NULL only if len is 0.
 * @param len   How many bytes: at most 390,000.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or too many bytes;
 *         CONSUL_LOCK_NO_RESOURCES: there is no memory for it. After an error the place has no value.
 */
consul_lock_status consul_lock_value_set(consul_lock_value *value,
                                         const void *bytes,
                                         size_t len);

/**
 * The status that the failed call answered.
 *
 * @param error The error; NULL: no error, CONSUL_LOCK_OK.
 */
consul_lock_status consul_lock_error_code(const consul_lock_error *error);

/**
 * What went wrong, on which key and address, what Consul said and what to do: one line of UTF-8.
 * It never contains a token or a stored value.
 *
 * @param error The error; NULL: no error, the empty text.
 * @return Never NULL. Belongs to the error, and lives as long as it.
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
 * Whether the same thing may well work later without any change: somebody had the lock, or
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

/**
 * The name of a status, such as "NOT_ACQUIRED".
 *
 * @param status Any number: one that is not a status has the name "UNKNOWN".
 * @return Never NULL. Lives as long as the process.
 */
const char *consul_lock_status_name(int32_t status);

/**
 * The name of a consul_lock_lost_reason, such as "KEY_GONE".
 *
 * @param reason Any number: one that is not a reason has the name "UNKNOWN".
 * @return Never NULL. Lives as long as the process.
 */
const char *consul_lock_lost_reason_name(int32_t reason);

/**
 * Asks Consul who holds the lock on a key. Blocks for one or two requests. Any thread.
 *
 * @param client The client to ask with. NULL: the default client.
 * @param key    The key, as given to consul_lock_new(): UTF-8.
 * @param holder Receives who holds it, which the caller frees with consul_lock_holder_free(); NULL
 *               when nobody does, and on failure. Not NULL.
 * @param error  NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: *holder says who, or nobody; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a
 *         key that Consul would change or refuse; CONSUL_LOCK_INVALID_ENVIRONMENT;
 *         CONSUL_LOCK_UNAVAILABLE; CONSUL_LOCK_DENIED; CONSUL_LOCK_REJECTED; CONSUL_LOCK_NO_RESOURCES.
 */
consul_lock_status consul_lock_holder(const consul_lock_client *client,
                                      const char *key,
                                      consul_lock_holder_info **holder,
                                      consul_lock_error **error);

/**
 * As consul_lock_holder(), without waiting: `done` is told the outcome. Any thread; never blocks.
 *
 * @param client    The client to ask with. NULL: the default client.
 * @param key       As for consul_lock_holder(). Copied.
 * @param done      Told the outcome exactly once; not at all if this call fails.
 * @param user_data Given to done. It can be freed there; if this call fails it is still the caller's.
 * @param error     NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: done will be called; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a key that
 *         Consul would change or refuse; CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the
 *         default client cannot be made; CONSUL_LOCK_NO_RESOURCES: the same, or the system gives no
 *         thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_holder_start(const consul_lock_client *client,
                                            const char *key,
                                            consul_lock_holder_done done,
                                            void *user_data,
                                            consul_lock_error **error);

/**
 * Copies the id of the session that holds the lock.
 *
 * @param holder The holder. NULL: the empty text.
 * @param buf    Receives at most cap bytes, the NUL included. NULL: nothing is copied.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole text in bytes, without the NUL.
 */
size_t consul_lock_holder_session(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * Copies the name of the session that holds the lock; for a lock of this library, such as
 * "consul_lock PROGRAM@HOST:PID NONCE".
 *
 * @param holder The holder. NULL: the empty text.
 * @param buf    Receives at most cap bytes, the NUL included. NULL: nothing is copied.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole text in bytes, without the NUL; 0: Consul would not say.
 */
size_t consul_lock_holder_name(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * Copies the name of the Consul node that the session is bound to: that of its "session_node", else
 * that of the agent through which it was made.
 *
 * @param holder The holder. NULL: the empty text.
 * @param buf    Receives at most cap bytes, the NUL included. NULL: nothing is copied.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole text in bytes, without the NUL; 0: Consul would not say.
 */
size_t consul_lock_holder_node(const consul_lock_holder_info *holder, char *buf, size_t cap);

/**
 * Copies the value that is stored under the key: any bytes, no NUL is added. Data of somebody
 * else: trust nothing in it.
 *
 * @param holder The holder. NULL: no bytes.
 * @param buf    Receives at most cap bytes. NULL: nothing is copied.
 * @param cap    The size of buf in bytes.
 * @return The length of the whole value in bytes.
 */
size_t consul_lock_holder_value(const consul_lock_holder_info *holder, void *buf, size_t cap);

/**
 * The holder's fencing token, as consul_lock_fencing_token() answers there: the ModifyIndex of the
 * key. A program that writes the key without taking the lock makes it larger.
 *
 * @param holder The holder. NULL: 0.
 */
uint64_t consul_lock_holder_fencing_token(const consul_lock_holder_info *holder);

/**
 * When the holder took the lock, by its own clock: the "locked_at" of the value that a lock stores by
 * default.
 *
 * @param holder The holder. NULL: 0.
 * @return Milliseconds since 1970-01-01 UTC; 0: unknown, as the stored value is another one.
 */
int64_t consul_lock_holder_since_ms(const consul_lock_holder_info *holder);

/**
 * The TTL of the session that holds the lock: its "lock_timeout_seconds", for a lock of this library.
 *
 * @param holder The holder. NULL: 0.
 * @return Milliseconds; 0: the session has no TTL, or Consul would not say.
 */
int64_t consul_lock_holder_ttl_ms(const consul_lock_holder_info *holder);

/**
 * Frees what consul_lock_holder() gave.
 *
 * @param holder The holder; not used afterwards. NULL: nothing happens.
 */
void consul_lock_holder_free(consul_lock_holder_info *holder);

/**
 * Sets who is told what the library has to say: locks that were lost, releases that Consul did not
 * confirm, outages that last. One for the whole process, also for a child after fork. Any thread;
 * never blocks, also not for a call of the one before that has not returned yet.
 *
 * @param callback       The function. NULL: the log is off, as at the beginning.
 * @param user_data      Given to the function at each call.
 * @param user_data_free Called exactly once with user_data, after its last use: when another callback
 *                       has taken its place and the last call has returned; in this very call if
 *                       callback is NULL or the level is refused. NULL: nothing is called.
 * @param level          The least important consul_lock_log_level that is told: 1 to 4.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: no such level; nothing was changed.
 */
consul_lock_status consul_lock_set_log_callback(consul_lock_log_callback callback,
                                                void *user_data,
                                                consul_lock_user_data_free user_data_free,
                                                int32_t level);

/**
 * The version of the library that runs, such as "0.1.0". Compare with CONSUL_LOCK_VERSION, which
 * is that of the header.
 *
 * @return Never NULL. Lives as long as the process.
 */
const char *consul_lock_version(void);

/**
 * The version of the binary interface that the library speaks: a program or binding that was made
 * for another number (CONSUL_LOCK_ABI_VERSION of its header) must not call anything else.
 */
uint32_t consul_lock_abi_version(void);

/**
 * Waits for the releases of this process that are still under way, and ends the sessions that the
 * library keeps at hand: the one call for an orderly exit. The call is optional: the library does
 * nothing at exit. Without it the library's work on a release that was UNCONFIRMED ends with the
 * process, and Consul removes that lock after up to two TTLs. Locks and clients stay usable
 * afterwards, but no session is kept at hand any more. Any thread.
 *
 * @param timeout_ms How long to wait at most, in milliseconds: 0 to 86,400,000.
 * @param error      NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_UNCONFIRMED: something was still under way at the end of the
 *         time; CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
 */
consul_lock_status consul_lock_shutdown(int64_t timeout_ms, consul_lock_error **error);

/**
 * As consul_lock_shutdown(), without waiting: `done` is told the outcome. Any thread; never blocks.
 *
 * @param timeout_ms As for consul_lock_shutdown().
 * @param done       As for consul_lock_acquire_start(), but on a thread made for this call.
 * @param user_data  As for consul_lock_acquire_start().
 * @param error      NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK: done will be called; CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
 *         CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range, or done is NULL.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_shutdown_start(int64_t timeout_ms,
                                              consul_lock_done done,
                                              void *user_data,
                                              consul_lock_error **error);

/**
 * Makes a queue. Any thread.
 *
 * @param fd    Receives the descriptor to watch, which belongs to the caller, who closes it: the
 *              reading end of a socket pair, non-blocking and closed on exec. It is readable when
 *              events wait. Read the bytes away first, then take events until there is none. Not
 *              NULL; -1 on failure.
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return The caller frees it with consul_lock_queue_free(). NULL on failure:
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no sockets; CONSUL_LOCK_INVALID_ARGUMENT: fd is
 *         NULL.
 */
CONSUL_LOCK_MUST_USE
consul_lock_queue *consul_lock_queue_new(int32_t *fd,
                                         consul_lock_error **error);

/**
 * Takes the event that waits longest. Any thread; never blocks.
 *
 * @param queue The queue. NULL, or one of the parent process: NULL is returned.
 * @return The caller frees it with consul_lock_event_free(). NULL: none waits.
 */
CONSUL_LOCK_MUST_USE consul_lock_event *consul_lock_queue_next(consul_lock_queue *queue);

/**
 * Frees a queue: events that wait are dropped, and so is what comes later with senders that are
 * still out. A lock whose acquire was to be told here is not given back by that. The descriptor is
 * the caller's to close, before or after.
 *
 * @param queue The queue; not used afterwards. NULL: nothing happens.
 */
void consul_lock_queue_free(consul_lock_queue *queue);

/**
 * Makes a sender. Any thread.
 *
 * @param queue The queue, which may be freed before the sender. NULL: NULL is returned.
 * @param tag   A number by which you know its events again.
 * @return A user_data for the four functions below. consul_lock_queue_done() and
 *         consul_lock_queue_holder_done() use it up; where it is given together with a
 *         user_data_free, that is consul_lock_sender_free(); the caller frees it when the call that
 *         it was given to fails.
 */
CONSUL_LOCK_MUST_USE
consul_lock_sender *consul_lock_sender_new(const consul_lock_queue *queue,
                                           uint64_t tag);

/**
 * Frees a sender: a consul_lock_user_data_free.
 *
 * @param sender The sender; not used afterwards. NULL: nothing happens.
 */
void consul_lock_sender_free(void *sender);

/**
 * A consul_lock_done that puts an event into the sender's queue, and uses the sender up. It runs on
 * the thread that has the outcome, not on the one for callbacks, which saves a hop: it is also the
 * quickest way to hear.
 *
 * @param status The event's code.
 * @param error  Goes into the event. NULL: none.
 * @param sender The sender. NULL: the error is freed.
 */
void consul_lock_queue_done(consul_lock_status status, consul_lock_error *error, void *sender);

/**
 * A consul_lock_holder_done that does the same.
 *
 * @param status The event's code.
 * @param holder Goes into the event. NULL: nobody.
 * @param error  Goes into the event. NULL: none.
 * @param sender The sender. NULL: holder and error are freed.
 */
void consul_lock_queue_holder_done(consul_lock_status status,
                                   consul_lock_holder_info *holder,
                                   consul_lock_error *error,
                                   void *sender);

/**
 * A consul_lock_lost_callback that puts an event into the sender's queue.
 *
 * @param reason The event's code.
 * @param sender The sender, which can be used again. NULL: nothing happens.
 */
void consul_lock_queue_lost(consul_lock_lost_reason reason, void *sender);

/**
 * A consul_lock_log_callback that puts an event into the sender's queue. Of lines 1,024 wait at most:
 * what comes beyond them is dropped, and a line says how many.
 *
 * @param level  The event's code.
 * @param line   Copied. NULL: nothing happens.
 * @param sender The sender, which can be used again. NULL: nothing happens.
 */
void consul_lock_queue_log(consul_lock_log_level level,
                           const char *line,
                           void *sender);

/**
 * Ties a lock to a queue, for threads that may be ended from outside without a last word, such as the
 * workers of Node: when the queue is freed, or its reading end closed (as the system does with the
 * event loop that watched it), a pending acquire of the lock is cancelled, or given back if it had been
 * won, and a held lock is renewed no more, so that its TTL ends it: from then on it answers
 * CONSUL_LOCK_NOT_HELD, and no loss is told. The library looks when it asks Consul something for a lock
 * that is being acquired, when it has taken it, and when it has renewed it. A copy of the reading end in a
 * child process keeps it open. Any thread; never blocks.
 *
 * @param lock  The lock. The last call counts.
 * @param queue The queue.
 * @param error NULL, or receives NULL or a new error, which the caller frees.
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_FORKED: the lock or the queue is the parent process's;
 *         CONSUL_LOCK_INVALID_ARGUMENT: a NULL.
 */
consul_lock_status consul_lock_bind_to_queue(consul_lock *lock,
                                             const consul_lock_queue *queue,
                                             consul_lock_error **error);

/**
 * The number that the sender was made with.
 *
 * @param event The event. NULL: 0.
 */
uint64_t consul_lock_event_tag(const consul_lock_event *event);

/**
 * What the event tells.
 *
 * @param event The event. NULL: CONSUL_LOCK_EVENT_NONE.
 */
consul_lock_event_type consul_lock_event_kind(const consul_lock_event *event);

/**
 * What happened: the consul_lock_status of a call, the consul_lock_lost_reason of a lock, or the
 * consul_lock_log_level of a line, as consul_lock_event_kind() says.
 *
 * @param event The event. NULL: 0.
 */
int32_t consul_lock_event_code(const consul_lock_event *event);

/**
 * Takes the error of a call that failed out of its event.
 *
 * @param event The event. NULL: NULL is returned.
 * @return The caller frees it with consul_lock_error_free(). NULL: there is none, or it was taken.
 */
CONSUL_LOCK_MUST_USE consul_lock_error *consul_lock_event_take_error(consul_lock_event *event);

/**
 * Takes the answer of consul_lock_holder_start() out of its event.
 *
 * @param event The event. NULL: NULL is returned.
 * @return The caller frees it with consul_lock_holder_free(). NULL: nobody holds the lock, the
 *         question failed, or it was taken.
 */
CONSUL_LOCK_MUST_USE
consul_lock_holder_info *consul_lock_event_take_holder(consul_lock_event *event);

/**
 * Copies a line of the log.
 *
 * @param event The event. NULL, or not one of the log: the empty text.
 * @param buf   Receives at most cap bytes, the NUL included. NULL: nothing is copied.
 * @param cap   The size of buf in bytes.
 * @return The length of the whole line in bytes, without the NUL.
 */
size_t consul_lock_event_line(const consul_lock_event *event, char *buf, size_t cap);

/**
 * Frees an event, with what was not taken out of it.
 *
 * @param event The event; not used afterwards. NULL: nothing happens.
 */
void consul_lock_event_free(consul_lock_event *event);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CONSUL_LOCK_H */
