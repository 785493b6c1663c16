/*
 * Of tests/c/caller.c: the calls on locks.
 */
#ifndef CALLER_LOCKS_H
#define CALLER_LOCKS_H

#include "caller_outcomes.h"

/* ---- Locks ---- */

static void new_lock(N *n)
{
    struct shared *options = borrow(n, OF_LOCKS);
    consul_lock_error *error = NULL;
    consul_lock *lock;
    if (one_in(n, 4)) {
        const char *keys[] = {a_key(n), a_key(n), a_key(n)};
        size_t count = below(n, 4);
        lock = CALL(consul_lock_new_all)(one_in(n, 20) ? NULL : keys, count, object_of(options),
                                         into(n, &error));
    } else {
        lock = CALL(consul_lock_new)(a_key(n), object_of(options), into(n, &error));
    }
    give_back(options);
    if (error != NULL) {
        CHECK(lock == NULL);
        told(n, consul_lock_error_code(error), error);
    }
    if (!put(n, LOCKS, lock, -1)) {
        CALL(consul_lock_free)(lock);
    }
}

static void acquire(N *n)
{
    struct shared *lock = borrow(n, LOCKS);
    if (one_in(n, 2)) {
        TRY(n, consul_lock_acquire, object_of(lock));
    } else {
        START(n, consul_lock_acquire_start, done, consul_lock_queue_done, object_of(lock));
    }
    give_back(lock);
}

static void release(N *n)
{
    struct shared *lock = borrow(n, LOCKS);
    if (one_in(n, 2)) {
        TRY(n, consul_lock_release, object_of(lock));
    } else {
        START(n, consul_lock_release_start, done, consul_lock_queue_done, object_of(lock));
    }
    give_back(lock);
}

static void free_a_lock(N *n)
{
    int32_t fd;
    consul_lock *lock = take(n, LOCKS, &fd);
    if (one_in(n, 6)) {
        CALL(consul_lock_abandon)(lock);
    } else {
        CALL(consul_lock_free)(lock);
    }
}

static void cancel(N *n)
{
    struct shared *lock = borrow(n, LOCKS);
    CALL(consul_lock_cancel)(object_of(lock));
    give_back(lock);
}

static void look_at_a_lock(N *n)
{
    struct shared *shared = borrow(n, LOCKS);
    const consul_lock *lock = object_of(shared);
    bool held = CALL(consul_lock_is_held)(lock);
    CHECK(CALL(consul_lock_remaining_ms)(lock) >= 0);
    uint64_t token = CALL(consul_lock_fencing_token)(lock);
    CHECK(!held || token > 0);
    COPY(n, consul_lock_key, lock);
    COPY(n, consul_lock_session_id, lock);
    size_t count = CALL(consul_lock_keys_count)(lock);
    COPY(n, consul_lock_key_at, lock, below(n, count + 1));
    CHECK(CALL(consul_lock_slot)(lock) >= -1);
    (void)CALL(consul_lock_lost_reason_name)(CALL(consul_lock_why_lost)(lock));
    give_back(shared);
}

static void use_a_lock(N *n)
{
    struct shared *shared = borrow(n, LOCKS);
    consul_lock *lock = object_of(shared);
    const char *key = one_in(n, 4) ? a_key(n) : "caller-data";
    switch (below(n, 13)) {
    case 0:
        TRY(n, consul_lock_renew, lock);
        break;
    case 1:
        START(n, consul_lock_renew_start, done, consul_lock_queue_done, lock);
        break;
    case 2:
        TRY(n, consul_lock_check, lock);
        break;
    case 3:
        START(n, consul_lock_check_start, done, consul_lock_queue_done, lock);
        break;
    case 4:
        TRY(n, consul_lock_put_if_held, lock, key, "value", below(n, 6));
        break;
    case 5:
        START(n, consul_lock_put_if_held_start, done, consul_lock_queue_done, lock, key, "value",
              below(n, 6));
        break;
    case 6:
        TRY(n, consul_lock_delete_if_held, lock, key);
        break;
    case 7:
        START(n, consul_lock_delete_if_held_start, done, consul_lock_queue_done, lock, key);
        break;
    case 8:
        TRY(n, consul_lock_downgrade, lock);
        break;
    case 9:
        START(n, consul_lock_downgrade_start, done, consul_lock_queue_done, lock);
        break;
    case 10:
        TRY(n, consul_lock_upgrade, lock, (int64_t)below(n, 200));
        break;
    case 11:
        START(n, consul_lock_upgrade_start, done, consul_lock_queue_done, lock,
              (int64_t)below(n, 300) - 2);
        break;
    default:
        TRY(n, consul_lock_set_value, lock, one_in(n, 9) ? NULL : "value", below(n, 6));
    }
    give_back(shared);
}

static void listen_for_a_loss(N *n)
{
    struct shared *lock = borrow(n, LOCKS);
    struct shared *queue = one_in(n, 3) ? borrow(n, QUEUES) : NULL;
    if (queue != NULL) {
        consul_lock_sender *sender = CALL(consul_lock_sender_new)(queue->object, any(n));
        TRY(n, consul_lock_set_lost_callback, object_of(lock), CALL(consul_lock_queue_lost), sender,
            CALL(consul_lock_sender_free));
        TRY(n, consul_lock_bind_to_queue, object_of(lock), queue->object);
    } else if (one_in(n, 4)) {
        TRY(n, consul_lock_set_lost_callback, object_of(lock), NULL, new_data(n), free_data);
    } else {
        TRY(n, consul_lock_set_lost_callback, object_of(lock), lost, new_data(n), free_data);
    }
    give_back(queue);
    give_back(lock);
}

struct waiting {
    consul_lock *lock;
    uint64_t number;
};

static void *wait_for_a_lock(void *argument)
{
    struct waiting *waiting = argument;
    N n = {waiting->number};
    TRY(&n, consul_lock_acquire, waiting->lock);
    return NULL;
}

/* Ends an acquire of another thread that has surely begun: the lock is used up. */
static void end_an_acquire(N *n)
{
    consul_lock *lock = lock_on(ONE_OF(n, KEYS), -1, 10);
    /* A value generator that has no value would not use the lock up. */
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_value(lock, "x", 1, &error));
    struct waiting waiting = {lock, any(n)};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_a_lock, &waiting) == 0);
    while (consul_lock_set_value(lock, "x", 1, NULL) != CONSUL_LOCK_ALREADY_USED) {
        pause_ms(1);
    }
    uint64_t how = below(n, 4);
    switch (how) {
    case 0:
        CALL(consul_lock_cancel)(lock);
        break;
    case 1:
        TRY(n, consul_lock_release, lock);
        break;
    case 2:
        CALL(consul_lock_abandon)(lock);
        break;
    default:
        CALL(consul_lock_free)(lock);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    if (how < 2) {
        CALL(consul_lock_free)(lock);
    }
}

#endif
