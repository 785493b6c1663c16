/* Generated from src/ffi and abi/. */
/**
 * @file
 * libconsul_lock for event loops: calls that do not wait, and queues of events. The preface of
 * consul_lock.h also holds here.
 *
 * Each function named _start begins what the function without _start does, and returns at once. Its
 * callback `done` is told the outcome, exactly once, by a thread of the library.
 *
 * A program with an event loop, or a language whose interpreter no foreign thread may enter, gives
 * it consul_lock_queue_done() as `done` and a sender as user_data. Then the outcome becomes an
 * event in a queue, and the queue's descriptor becomes readable:
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
 * CONTENTS
 *
 *     Calls that do not wait   the functions named _start
 *     Queues                   where events wait, and the descriptor that says so
 *     Senders                  what puts events into a queue
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
 * Is told how a call ended that was begun by a function named _start, but
 * consul_lock_holder_start(). `status` is what the call without _start would have returned.
 * `error` is NULL for CONSUL_LOCK_OK, else a new error that belongs to the callback, which frees
 * it with consul_lock_error_free(), then or later, in any thread. (The error is not lent, as some
 * languages run a callback after the library's thread has gone on.)
 *
 * It is called exactly once. See CALLBACKS; it may also call consul_lock_free() on this lock.
 */
typedef void (*consul_lock_done)(consul_lock_status status,
                                 consul_lock_error *error,
                                 void *user_data);

/**
 * As consul_lock_acquire(), without waiting. The wait needs no thread of its own.
 *
 * consul_lock_cancel(), consul_lock_free() and consul_lock_abandon() end the wait: `done` is told
 * CONSUL_LOCK_CANCELLED, unless the outcome was decided before. A lock that is freed before `done`
 * was told CONSUL_LOCK_OK is given back by that.
 *
 * @param lock      The lock.
 * @param done      Is told the outcome exactly once, never inside this call, but perhaps before it
 *                  returns. Not told if this call fails.
 * @param user_data Given to done, which may free it. If this call fails, it is still the caller's.
 * @param error     See ERRORS.
 * @return CONSUL_LOCK_OK: done will be called with what consul_lock_acquire() answers,
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
 * As consul_lock_release(), without waiting. `done` is told at the latest after the client's
 * option "release_timeout_ms". The lock may be freed at once.
 *
 * @param lock      The lock.
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     See ERRORS.
 * @return CONSUL_LOCK_OK: done will be called with what consul_lock_release() answers;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and the lock is as it was.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_release_start(consul_lock *lock,
                                             consul_lock_done done,
                                             void *user_data,
                                             consul_lock_error **error);

/**
 * As consul_lock_renew(), without waiting.
 *
 * @param lock      The lock.
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     See ERRORS.
 * @return CONSUL_LOCK_OK: done will be called with what consul_lock_renew() answers;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_renew_start(consul_lock *lock,
                                           consul_lock_done done,
                                           void *user_data,
                                           consul_lock_error **error);

/**
 * As consul_lock_check(), without waiting.
 *
 * @param lock      The lock.
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     See ERRORS.
 * @return CONSUL_LOCK_OK: done will be called with what consul_lock_check() answers;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_check_start(const consul_lock *lock,
                                           consul_lock_done done,
                                           void *user_data,
                                           consul_lock_error **error);

/**
 * As consul_lock_put_if_held(), without waiting. Two guarded writes that are under way at the same
 * time may be applied in either order.
 *
 * @param lock      The lock.
 * @param key       As for consul_lock_put_if_held().
 * @param value     Any bytes. NULL only if len is 0.
 * @param len       As for consul_lock_put_if_held().
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     See ERRORS.
 * @return CONSUL_LOCK_OK: done will be called with what consul_lock_put_if_held() answers;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, or no memory for the value;
 *         CONSUL_LOCK_INVALID_ARGUMENT: the key or the value is refused.
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
 * As consul_lock_delete_if_held(), without waiting.
 *
 * @param lock      The lock.
 * @param key       As for consul_lock_put_if_held().
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     See ERRORS.
 * @return CONSUL_LOCK_OK: done will be called with what consul_lock_delete_if_held() answers;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
 *         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_delete_if_held_start(consul_lock *lock,
                                                    const char *key,
                                                    consul_lock_done done,
                                                    void *user_data,
                                                    consul_lock_error **error);

/**
 * Is told how consul_lock_holder_start() ended. `status` is what consul_lock_holder() would have
 * returned, and `holder` what it would have stored: it belongs to the callback, as `error` does.
 * Otherwise as consul_lock_done.
 */
typedef void (*consul_lock_holder_done)(consul_lock_status status,
                                        consul_lock_holder_info *holder,
                                        consul_lock_error *error,
                                        void *user_data);

/**
 * As consul_lock_holder(), without waiting.
 *
 * @param client    The client to ask with. NULL: the default client.
 * @param key       As for consul_lock_holder().
 * @param done      As for consul_lock_acquire_start().
 * @param user_data As for consul_lock_acquire_start().
 * @param error     See ERRORS.
 * @return CONSUL_LOCK_OK: done will be called with what consul_lock_holder() answers;
 *         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
 *         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the default client cannot be
 *         made;
 *         CONSUL_LOCK_NO_RESOURCES: the same, or the system gives no thread.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_holder_start(const consul_lock_client *client,
                                            const char *key,
                                            consul_lock_holder_done done,
                                            void *user_data,
                                            consul_lock_error **error);

/**
 * As consul_lock_shutdown(), without waiting.
 *
 * @param timeout_ms As for consul_lock_shutdown().
 * @param done       As for consul_lock_acquire_start(), but on a thread made for this call.
 * @param user_data  As for consul_lock_acquire_start().
 * @param error      See ERRORS.
 * @return CONSUL_LOCK_OK: done will be called with what consul_lock_shutdown() answers;
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
 *         CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
 */
CONSUL_LOCK_MUST_USE
consul_lock_status consul_lock_shutdown_start(int64_t timeout_ms,
                                              consul_lock_done done,
                                              void *user_data,
                                              consul_lock_error **error);

/* ---- Queues ---- */

/**
 * A queue of events: instead of calling the program, the library puts an event here and makes a
 * descriptor readable.
 *
 * It belongs to the process that made it: in a child after fork no event goes in and none comes
 * out.
 */
typedef struct consul_lock_queue consul_lock_queue;

/**
 * One thing that happened. It belongs to the code that took it from the queue. Only one thread at
 * a time may use it.
 */
typedef struct consul_lock_event consul_lock_event;

/**
 * Makes a queue.
 *
 * @param fd    Receives the descriptor to watch: the reading end of a socket pair, non-blocking
 *              and closed on exec. The caller closes it. It is readable when events wait: read the
 *              bytes away first, then take events until there is none. Not NULL; receives -1 on
 *              failure.
 * @param error See ERRORS.
 * @return Free it with consul_lock_queue_free(). NULL on failure, with the code
 *         CONSUL_LOCK_NO_RESOURCES: the system gives no sockets.
 */
CONSUL_LOCK_MUST_USE
consul_lock_queue *consul_lock_queue_new(int32_t *fd,
                                         consul_lock_error **error);

/**
 * Takes the event that has waited longest.
 *
 * @param queue The queue. NULL, or a queue of the parent process: NULL is returned.
 * @return Free it with consul_lock_event_free(). NULL: no event waits.
 */
CONSUL_LOCK_MUST_USE consul_lock_event *consul_lock_queue_next(consul_lock_queue *queue);

/**
 * Frees a queue: events that wait are dropped, as are those that senders put later. A lock whose
 * acquire was to be told here is not given back by that. The descriptor is the caller's to close,
 * before or after.
 *
 * @param queue The queue; not used afterwards. NULL: nothing happens.
 */
void consul_lock_queue_free(consul_lock_queue *queue);

/**
 * Ties a lock to a queue, for threads that may end without a last word, such as the workers of
 * Node. When the queue is freed, or its reading end is closed (as the system does when the event
 * loop that watched it ends), the lock has no user any more: a pending acquire is cancelled, a
 * lock that was just won is given back, and a held lock is renewed no more, so that its TTL ends
 * it. From then on the lock answers CONSUL_LOCK_NOT_HELD, and no loss is told.
 *
 * The library checks for a reader whenever it sends a request for a pending acquire, when an
 * acquire succeeds, and after each renewal. A copy of the reading end in a child process counts as
 * a reader.
 *
 * @param lock  The lock. The last call counts.
 * @param queue The queue.
 * @param error See ERRORS.
 * @return CONSUL_LOCK_OK, or CONSUL_LOCK_INVALID_ARGUMENT for a NULL.
 */
consul_lock_status consul_lock_bind_to_queue(consul_lock *lock,
                                             const consul_lock_queue *queue,
                                             consul_lock_error **error);

/* ---- Senders ---- */

/**
 * The right to put events into a queue, under a number of the caller's choice (its tag). It is the
 * user_data of the four callbacks that this library has for queues.
 */
typedef struct consul_lock_sender consul_lock_sender;

/**
 * Makes a sender, which is the user_data of the callbacks below. The two callbacks for outcomes
 * free it. consul_lock_queue_lost() and consul_lock_queue_log() do not: give them together with
 * consul_lock_sender_free(). If the call that takes the sender fails, the caller frees it.
 *
 * @param queue The queue, which may be freed before the sender. NULL: NULL is returned.
 * @param tag   The number that consul_lock_event_tag() will answer for its events.
 * @return Free it with consul_lock_sender_free(), unless a callback has done so.
 */
CONSUL_LOCK_MUST_USE
consul_lock_sender *consul_lock_sender_new(const consul_lock_queue *queue,
                                           uint64_t tag);

/**
 * A consul_lock_done that puts an event into the sender's queue and frees the sender. It runs on
 * the thread that has the outcome, not on the thread for callbacks: it is also the quickest way to
 * hear of an outcome.
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
 * @param holder Goes into the event. NULL: the lock is free.
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
 * A consul_lock_log_callback that puts an event into the sender's queue. At most 1,024 lines wait:
 * the rest is dropped, and a line says how many.
 *
 * @param level  The event's code.
 * @param line   Goes into the event. NULL: nothing happens.
 * @param sender The sender, which can be used again. NULL: nothing happens.
 */
void consul_lock_queue_log(consul_lock_log_level level, const char *line, void *sender);

/**
 * Frees a sender. It is a consul_lock_user_data_free.
 *
 * @param sender The sender; not used afterwards. NULL: nothing happens.
 */
void consul_lock_sender_free(void *sender);

/* ---- Events ---- */

/**
 * What an event tells.
 */
typedef enum {
  /**
   * There is no event: NULL was given.
   */
  CONSUL_LOCK_EVENT_NONE = 0,
  /**
   * A call ended. The event's code is the consul_lock_status.
   */
  CONSUL_LOCK_EVENT_DONE = 1,
  /**
   * consul_lock_holder_start() ended. The code is the consul_lock_status, and
   * consul_lock_event_take_holder() has the answer.
   */
  CONSUL_LOCK_EVENT_HOLDER = 2,
  /**
   * A lock was lost. The code is the consul_lock_lost_reason.
   */
  CONSUL_LOCK_EVENT_LOST = 3,
  /**
   * A line of the log. The code is the consul_lock_log_level, and consul_lock_event_line() has
   * the line.
   */
  CONSUL_LOCK_EVENT_LOG = 4,
} consul_lock_event_type;

/**
 * What the event tells: how to read its code, and what else it has.
 *
 * @param event The event. NULL: CONSUL_LOCK_EVENT_NONE.
 */
consul_lock_event_type consul_lock_event_kind(const consul_lock_event *event);

/**
 * How a call ended, how a lock was lost, or how important a line is: see consul_lock_event_type.
 *
 * @param event The event. NULL: 0.
 */
int32_t consul_lock_event_code(const consul_lock_event *event);

/**
 * The tag of the sender that put the event into the queue.
 *
 * @param event The event. NULL: 0.
 */
uint64_t consul_lock_event_tag(const consul_lock_event *event);

/**
 * Takes the error of a call that failed out of its event.
 *
 * @param event The event. NULL: NULL is returned.
 * @return Free it with consul_lock_error_free(). NULL: there is none, or it was taken.
 */
CONSUL_LOCK_MUST_USE consul_lock_error *consul_lock_event_take_error(consul_lock_event *event);

/**
 * Takes the answer of consul_lock_holder_start() out of its event.
 *
 * @param event The event. NULL: NULL is returned.
 * @return Free it with consul_lock_holder_free(). NULL: the lock is free, the question failed, or
 *         the answer was taken.
 */
CONSUL_LOCK_MUST_USE
consul_lock_holder_info *consul_lock_event_take_holder(consul_lock_event *event);

/**
 * Copies a line of the log.
 *
 * @param event The event. NULL, or not one of the log: the empty text.
 * @param buf   Receives the text, see TEXT.
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
} /* extern "C" */
#endif

#endif /* CONSUL_LOCK_ASYNC_H */
