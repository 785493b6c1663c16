/* pthread_cancel() of a thread inside acquire: the process lives, and nothing is left in Consul. */
#include "check.h"

#include <pthread.h>

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

static void cancelled(void *(*run)(void *), long after_ms)
{
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
    pause_ms(after_ms);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
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
    CHECK(!is_taken("cancelled_thread") && !is_taken("cancelled_thread/taken"));
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(10000, &error));
    return 0;
}
