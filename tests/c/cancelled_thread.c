/*
 * pthread_cancel() of a thread inside acquire, or inside a call that does not wait: the process
 * lives, the call goes on where it does not wait, and nothing is left in Consul.
 */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

static void free_it(void *lock)
{
    consul_lock_free(lock);
}

static void *wait_for_it(void *data)
{
    (void)data;
    consul_lock *lock = lock_on("cancelled_thread", 1500, 30);
    pthread_cleanup_push(free_it, lock);
    consul_lock_status status = consul_lock_acquire(lock, NULL);
    CHECK(status == CONSUL_LOCK_NOT_ACQUIRED);
    pthread_testcancel();
    CHECK(!"the cancellation was forgotten");
    pthread_cleanup_pop(1);
    return NULL;
}

static void *take_it(void *data)
{
    (void)data;
    for (;;) { /* until the cancellation arrives, often in the middle of a request */
        consul_lock *lock = lock_on("cancelled_thread/taken", 0, 30);
        pthread_cleanup_push(free_it, lock);
        consul_lock_status status = consul_lock_acquire(lock, NULL);
        CHECK(status == CONSUL_LOCK_OK);
        pthread_cleanup_pop(1);
        pthread_testcancel();
    }
    return NULL;
}

static atomic_int told;

static void tell(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    (void)user_data;
    expect(__FILE__, __LINE__, "the outcome", CONSUL_LOCK_OK, status, error);
    consul_lock_error_free(error);
    atomic_fetch_add(&told, 1);
}

/* The cancellation is there before the call, which sends a request: that is no place to end a
 * thread. */
static void *start_it(void *data)
{
    CHECK(pthread_cancel(pthread_self()) == 0);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(data, tell, NULL, &error));
    pthread_testcancel();
    CHECK(!"the cancellation was forgotten");
    return NULL;
}

static void is_told(int times)
{
    int64_t begun = now_ms();
    while (atomic_load(&told) != times) {
        CHECK(now_ms() - begun < 20000);
        pause_ms(1);
    }
}

static void cancelled(void *(*run)(void *), long after_ms)
{
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
    pause_ms(after_ms);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
}

/* With a connection that is open and a thread that waits for work, the thread of the caller sends
 * the request. */
static void started(int number)
{
    consul_lock *lock = lock_on("cancelled_thread/started", 0, 30);
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, start_it, lock) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    is_told(2 * number + 1);
    CHECK(consul_lock_is_held(lock));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release_start(lock, tell, NULL, &error));
    is_told(2 * number + 2);
    consul_lock_free(lock);
}

int main(void)
{
    consul_lock *holder = lock_on("cancelled_thread", 0, 60);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(holder, &error));
    cancelled(wait_for_it, 300);
    EXPECT(CONSUL_LOCK_OK, consul_lock_check(holder, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(holder, &error));
    consul_lock_free(holder);

    for (int i = 0; i < 50; i++) {
        cancelled(take_it, i % 7);
    }
    for (int i = 0; i < 50; i++) {
        started(i);
    }
    CHECK(!is_taken("cancelled_thread") && !is_taken("cancelled_thread/taken"));
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(10000, &error));
    return 0;
}
