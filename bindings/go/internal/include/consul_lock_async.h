/* Generated from src/ffi and abi/. */
/**
 * @file
 * libconsul_lock for event loops: calls that do not wait, and queues of events. The preface of
 * consul_lock.h also holds here.
 *
 * A function named _start begins what the function without _start does, and returns at once. If it
 * returns CONSUL_LOCK_OK, a thread of the library calls `done` exactly once, with what the function
 * without _start would have returned. consul_lock_acquire_start() says more about `done` and
 * user_data.
 *
 * Some programs have an event loop, and the interpreters of some languages allow no foreign thread.
 * Such a program passes consul_lock_queue_done() as `done` and a sender as user_data. Then the
 * outcome becomes an event in a queue, and the queue's descriptor becomes readable:
 *
 *     int32_t fd;
 *     consul_lock_error *error = NULL;
 *     consul_lock_queue *queue = consul_lock_queue_new(&fd, &error);
 *     consul_lock_sender *sender = consul_lock_sender_new(queue, 42);
 *     if (consul_lock_acquire_start(lock, consul_lock_queue_done, sender, &error) !=
 *         CONSUL_LOCK_OK) {
 *         consul_lock_sender_free(sender);
 *     }
 *
 * When fd is readable, read its bytes away, and then take all events:
 *
 *     consul_lock_event *event;
 *     while ((event = consul_lock_queue_next(queue)) != NULL) {
 *         if (consul_lock_event_tag(event) == 42 &&
 *             consul_lock_event_code(event) == CONSUL_LOCK_OK) {
 *             begin_the_work();
 *         }
 *         consul_lock_event_free(event);
 *     }
 *
 * examples/event_loop.c is a whole program.
 *
 * CONTENTS
 *
 *     Calls that do not wait   the functions named _start
 *     Queues                   where events wait, and the descriptor that reports them
 *     Senders                  how events come into a queue
 *     Events                   what happened
 */
#ifndef CONSUL_LOCK_ASYNC_H
#define CONSUL_LOCK_ASYNC_H

#include "consul_lock.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Calls that do not wait ---- */

/**
 * Receives the outcome of a call that a function named _start began (consul_lock_holder_start()
 * has a type of its own). `status` is what the call without _start would have returned. `error` is
 * NULL for CONSUL_LOCK_OK, else a new error. The callback owns the error and frees it with
 * consul_lock_error_free(), then or later, in any thread.
 *
 * The library calls it exactly once. See CALLBACKS. It may also call consul_lock_free() on this
 * lock.
 */
typedef void (*consul_lock_done)(consul_lock_status status,
                                 consul_lock_error *error,
                                 void *user_data);

/**
 * Begins what consul_lock_acquire() does. The wait needs no thread of its own.
 *
 * consul_lock_cancel(), consul_lock_free() and consul_lock_abandon() end the wait: `done` receives
 * CONSUL_LOCK_CANCELLED, unless the outcome was decided before. If the caller frees the lock
 * before `done` has received CONSUL_LOCK_OK, that releases the lock.
 *
 * @param done      Receives the outcome exactly once, never inside this call, but perhaps before
 *                  it returns. Not called if this call fails.
 * @param user_data Given to done, which may free it. If this call fails, the caller still owns it.
 * @return CONSUL_LOCK_OK: done will receive what consul_lock_acquire() returns,
 *         CONSUL_LOCK_ALREADY_USED included;
 *         CONSUL_LOCK_VALUE_FAILED: the value generator, which runs inside this call, has no
 *         value;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread (for done, or for "auto_renew"),
 *         and the lock is not used up.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_acquire_start(consul_lock *lock,
                                             consul_lock_done done,
                                             void *user_data,
                                             consul_lock_error **error);

/**
 * Begins what consul_lock_release() does. `done` receives the outcome after at most the client's
 * option "release_timeout_ms". The caller may free the lock at once.
 *
 * @return CONSUL_LOCK_OK, or CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and the lock is
 *         as it was.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_release_start(consul_lock *lock,
                                             consul_lock_done done,
                                             void *user_data,
                                             consul_lock_error **error);

/**
 * Begins what consul_lock_renew() does.
 *
 * @return CONSUL_LOCK_OK, or CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_renew_start(consul_lock *lock,
                                           consul_lock_done done,
                                           void *user_data,
                                           consul_lock_error **error);

/**
 * Begins what consul_lock_check() does.
 *
 * @return CONSUL_LOCK_OK, or CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_check_start(const consul_lock *lock,
                                           consul_lock_done done,
                                           void *user_data,
                                           consul_lock_error **error);

/**
 * Begins what consul_lock_put_if_held() does. Consul may apply two guarded writes that are in
 * progress at the same time in either order.
 *
 * @param key As for consul_lock_put_if_held().
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread, or no memory for
 *         the value; CONSUL_LOCK_INVALID_ARGUMENT: the key or the value is refused.
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
 * Begins what consul_lock_delete_if_held() does.
 *
 * @param key As for consul_lock_put_if_held().
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
 *         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_delete_if_held_start(consul_lock *lock,
                                                    const char *key,
                                                    consul_lock_done done,
                                                    void *user_data,
                                                    consul_lock_error **error);

/**
 * Begins what consul_lock_downgrade() does.
 *
 * @return CONSUL_LOCK_OK, or CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_downgrade_start(consul_lock *lock,
                                               consul_lock_done done,
                                               void *user_data,
                                               consul_lock_error **error);

/**
 * Begins what consul_lock_upgrade() does. The wait needs no thread of its own, and
 * consul_lock_cancel() ends it. If the caller releases or frees the lock meanwhile, `done` receives
 * CONSUL_LOCK_NOT_HELD.
 *
 * @param timeout_ms As for consul_lock_upgrade().
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
 *         CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_upgrade_start(consul_lock *lock,
                                             int64_t timeout_ms,
                                             consul_lock_done done,
                                             void *user_data,
                                             consul_lock_error **error);

/**
 * Receives the outcome of consul_lock_holder_start(): the status that consul_lock_holder() would
 * have returned, and the holder that it would have stored. The callback owns `holder` and `error`.
 * Otherwise as consul_lock_done.
 */
typedef void (*consul_lock_holder_done)(consul_lock_status status,
                                        consul_lock_holder_info *holder,
                                        consul_lock_error *error,
                                        void *user_data);

/**
 * Begins what consul_lock_holder() does.
 *
 * @param client NULL: the default client.
 * @param key    As for consul_lock_new().
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
 *         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the library cannot make the
 *         default client;
 *         CONSUL_LOCK_NO_RESOURCES: the same, or the system gives no thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_holder_start(const consul_lock_client *client,
                                            const char *key,
                                            consul_lock_holder_done done,
                                            void *user_data,
                                            consul_lock_error **error);

/**
 * Receives the outcome of consul_lock_holders_start(): the status, the holders that
 * consul_lock_holders() would have returned, and its error. The callback owns `holders` and
 * `error`. Otherwise as consul_lock_done.
 */
typedef void (*consul_lock_holders_done)(consul_lock_status status,
                                         consul_lock_holders_info *holders,
                                         consul_lock_error *error,
                                         void *user_data);

/**
 * Begins what consul_lock_holders() does.
 *
 * @param client NULL: the default client.
 * @param key    As for consul_lock_new().
 * @return The codes of consul_lock_holder_start().
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_holders_start(const consul_lock_client *client,
                                             const char *key,
                                             consul_lock_holders_done done,
                                             void *user_data,
                                             consul_lock_error **error);

/**
 * Begins what consul_lock_shutdown() does. A thread made for this call calls `done`.
 *
 * @param timeout_ms As for consul_lock_shutdown().
 * @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
 *         CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_shutdown_start(int64_t timeout_ms,
                                              consul_lock_done done,
                                              void *user_data,
                                              consul_lock_error **error);

/* ---- Queues ---- */

/**
 * A queue of events. Instead of calling the program, the library puts an event into it and makes a
 * descriptor readable. The queue belongs to the process that made it: in a child after fork no
 * event goes in and none comes out.
 */
typedef struct consul_lock_queue consul_lock_queue;

/** One thing that happened. Only one thread at a time may use it. */
typedef struct consul_lock_event consul_lock_event;

/**
 * Makes a queue.
 *
 * @param fd Receives the descriptor to watch: the reading end of a socket pair, non-blocking and
 *           closed on exec. It is readable when events wait: read the bytes away first, then take
 *           events until there is none. The caller closes it. Receives -1 on failure. Not NULL.
 * @return Free it with consul_lock_queue_free(). NULL on failure, with the code
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no sockets.
 */
CONSUL_LOCK_MUST_USE
consul_lock_queue *consul_lock_queue_new(int32_t *fd,
                                         consul_lock_error **error);

/**
 * Takes the event that has waited longest.
 *
 * @return Free it with consul_lock_event_free(). NULL: no event waits, or the queue is the parent
 *         process's.
 */
CONSUL_LOCK_MUST_USE consul_lock_event *consul_lock_queue_next(consul_lock_queue *queue);

/**
 * Frees a queue. The library drops events that wait, and those that senders put later. A lock
 * stays held if the event that reports its acquire is dropped. The caller closes the descriptor,
 * before or after.
 */
void consul_lock_queue_free(consul_lock_queue *queue);

/**
 * Ties a lock to a queue, for threads that may end at any moment, such as the workers of Node. The
 * lock has no user any more when the queue is freed or its reading end is closed (as the system
 * does when the event loop that watched it ends). Then the library cancels a pending acquire,
 * releases a lock that was just won, and stops the renewal of a held lock, so that its TTL ends
 * it. From then on the lock returns CONSUL_LOCK_NOT_HELD, and the library reports no loss.
 *
 * The library checks for a reader whenever it sends a request for a pending acquire, when an
 * acquire succeeds, and after each renewal. A copy of the reading end in a child process counts as
 * a reader.
 *
 * @param lock The last call for this lock counts.
 * @return CONSUL_LOCK_OK.
 */
consul_lock_status consul_lock_bind_to_queue(consul_lock *lock,
                                             const consul_lock_queue *queue,
                                             consul_lock_error **error);

/* ---- Senders ---- */

/**
 * The right to put events into a queue, under a number of the caller's choice (the tag). A sender
 * is the user_data of the functions below, which the library has as callbacks.
 */
typedef struct consul_lock_sender consul_lock_sender;

/**
 * Makes a sender. consul_lock_queue_done(), consul_lock_queue_holder_done() and
 * consul_lock_queue_holders_done() free it; if the call that takes the sender fails, the caller
 * frees it. consul_lock_queue_lost(), consul_lock_queue_observed() and consul_lock_queue_log() do
 * not: give them together with consul_lock_sender_free() as user_data_free.
 *
 * @param queue The queue, which may be freed before the sender.
 * @param tag   The number that consul_lock_event_tag() returns for the sender's events.
 * @return Free it with consul_lock_sender_free(), unless a callback has done so.
 */
CONSUL_LOCK_MUST_USE
consul_lock_sender *consul_lock_sender_new(const consul_lock_queue *queue,
                                           uint64_t tag);

/**
 * Puts an event into the sender's queue and frees the sender. It is a consul_lock_done, and runs
 * on the thread that has the outcome, not on the thread for callbacks. So no other way reports an
 * outcome sooner.
 *
 * @param status The event's code.
 * @param error  Goes into the event. NULL: none.
 * @param sender NULL: the error is freed.
 */
void consul_lock_queue_done(consul_lock_status status, consul_lock_error *error, void *sender);

/**
 * Does the same for a holder. It is a consul_lock_holder_done.
 *
 * @param status The event's code.
 * @param holder Goes into the event. NULL: the lock is free.
 * @param error  Goes into the event. NULL: none.
 * @param sender NULL: holder and error are freed.
 */
void consul_lock_queue_holder_done(consul_lock_status status,
                                   consul_lock_holder_info *holder,
                                   consul_lock_error *error,
                                   void *sender);

/**
 * Does the same for holders. It is a consul_lock_holders_done.
 *
 * @param status  The event's code.
 * @param holders Goes into the event. NULL: the call failed.
 * @param error   Goes into the event. NULL: none.
 * @param sender  NULL: holders and error are freed.
 */
void consul_lock_queue_holders_done(consul_lock_status status,
                                    consul_lock_holders_info *holders,
                                    consul_lock_error *error,
                                    void *sender);

/**
 * Puts an event into the sender's queue. It is a consul_lock_lost_callback.
 *
 * @param reason The event's code.
 */
void consul_lock_queue_lost(consul_lock_lost_reason reason, void *sender);

/**
 * Puts an event into the sender's queue. It is a consul_lock_observe_callback, and runs on the
 * thread that has the news. The observer ends by itself after an event that no program can read,
 * because the queue was freed or its reading end was closed; consul_lock_observer_free() still
 * frees it.
 *
 * @param status The event's code.
 * @param holder Goes into the event. NULL: no session holds the key.
 * @param error  Goes into the event. NULL: none.
 * @param sender NULL: holder and error are freed.
 */
void consul_lock_queue_observed(consul_lock_status status,
                                consul_lock_holder_info *holder,
                                consul_lock_error *error,
                                void *sender);

/**
 * Puts an event into the sender's queue. It is a consul_lock_log_callback. At most 1,024 lines
 * wait: the library drops the rest, and a line says how many.
 *
 * @param level The event's code.
 * @param line  Goes into the event. NULL: nothing happens.
 */
void consul_lock_queue_log(consul_lock_log_level level, const char *line, void *sender);

/** Frees a sender. It is a consul_lock_user_data_free. */
void consul_lock_sender_free(void *sender);

/* ---- Events ---- */

/**
 * The kind of an event. The numbers are part of the ABI. (The name ends in _t because
 * consul_lock_event_kind() is a function.)
 */
typedef enum {
  /** There is no event: NULL was given. */
  CONSUL_LOCK_EVENT_NONE = 0,
  /** A call ended. The event's code is the consul_lock_status. */
  CONSUL_LOCK_EVENT_DONE = 1,
  /**
   * consul_lock_holder_start() ended. The event's code is the consul_lock_status, and
   * consul_lock_event_take_holder() has the holder.
   */
  CONSUL_LOCK_EVENT_HOLDER = 2,
  /** A lock was lost. The event's code is the consul_lock_lost_reason. */
  CONSUL_LOCK_EVENT_LOST = 3,
  /**
   * The log has a line, for consul_lock_event_line(). The event's code is the
   * consul_lock_log_level.
   */
  CONSUL_LOCK_EVENT_LOG = 4,
  /**
   * consul_lock_holders_start() ended. The event's code is the consul_lock_status, and
   * consul_lock_event_take_holders() has the holders.
   */
  CONSUL_LOCK_EVENT_HOLDERS = 5,
  /**
   * An observer has news. The event's code is the consul_lock_status. For CONSUL_LOCK_OK
   * consul_lock_event_take_holder() has the holder, or returns NULL: no session holds the key.
   */
  CONSUL_LOCK_EVENT_OBSERVED = 6,
} consul_lock_event_kind_t;

/** Returns the kind of an event, which says what its code is and what else it has. */
consul_lock_event_kind_t consul_lock_event_kind(const consul_lock_event *event);

/** Returns the event's code: see consul_lock_event_kind_t. */
int32_t consul_lock_event_code(const consul_lock_event *event);

/** Returns the tag of the sender that put the event into the queue. */
uint64_t consul_lock_event_tag(const consul_lock_event *event);

/**
 * Takes the error of a failed call out of its event.
 *
 * @return Free it with consul_lock_error_free(). NULL: there is none, or it was taken.
 */
CONSUL_LOCK_MUST_USE consul_lock_error *consul_lock_event_take_error(consul_lock_event *event);

/**
 * Takes the holder out of the event of a consul_lock_holder_start() or of an observer.
 *
 * @return Free it with consul_lock_holder_free(). NULL: the lock is free, the code is not
 *         CONSUL_LOCK_OK, or the holder was taken.
 */
CONSUL_LOCK_MUST_USE
consul_lock_holder_info *consul_lock_event_take_holder(consul_lock_event *event);

/**
 * Takes the holders out of the event of a consul_lock_holders_start().
 *
 * @return Free it with consul_lock_holders_free(). NULL: the call failed, or the holders were
 *         taken.
 */
CONSUL_LOCK_MUST_USE
consul_lock_holders_info *consul_lock_event_take_holders(consul_lock_event *event);

/**
 * Copies a log line; the empty text for another kind of event.
 *
 * @return See TEXT AND BYTES.
 */
size_t consul_lock_event_line(const consul_lock_event *event, char *buf, size_t cap);

/** Frees an event, with what was not taken out of it. */
void consul_lock_event_free(consul_lock_event *event);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* CONSUL_LOCK_ASYNC_H */
