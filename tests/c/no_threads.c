/* The system gives no thread: calls end in time, and work again when it does. */
#include "check.h"

#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

static void never(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    (void)error;
    (void)user_data;
    fprintf(stderr, "done was called with %s\n", consul_lock_status_name((int32_t)status));
    exit(1);
}

static void counted(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    (void)error;
    CHECK(status == CONSUL_LOCK_OK);
    atomic_fetch_add((atomic_int *)user_data, 1);
}

int main(void)
{
    alarm(60); /* a call that never returns is a failure, not a hang */
    consul_lock *lock = lock_on("no_threads", 700, 30);
    free(malloc(100 << 10)); /* room on the heap, so that only stacks are refused */

    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = mapped() + (256 << 10);
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    int64_t begun = now_ms();
    consul_lock_error *error = NULL;
    consul_lock_status status = consul_lock_acquire(lock, &error);
    int64_t took = now_ms() - begun;
    consul_lock *later = lock_on("no_threads/later", 700, 30);
    EXPECT(CONSUL_LOCK_NO_RESOURCES, consul_lock_acquire_start(later, never, NULL, &error));
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);

    CHECK(status == CONSUL_LOCK_NO_RESOURCES);
    CHECK(strstr(consul_lock_error_message(error), "thread") != NULL);
    consul_lock_error_free(error);
    CHECK(took >= 690 && took < 10000);
    consul_lock_free(lock);

    lock = lock_on("no_threads", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    consul_lock_free(lock);

    /* The refused start did not use the lock up. */
    atomic_int times = 0;
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(later, counted, &times, &error));
    while (atomic_load(&times) == 0) {
        pause_ms(5);
    }
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(later, &error));
    consul_lock_free(later);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
