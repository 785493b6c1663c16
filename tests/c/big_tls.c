/* A host with megabytes of thread-local variables, which the C library may put on the stack of each
 * thread. */
#include "check.h"

#include <stdatomic.h>
#include <unistd.h>

static _Thread_local char large[3 << 20];

static void done(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    CHECK(status == CONSUL_LOCK_OK);
    consul_lock_error_free(error);
    memset(large, 1, sizeof large);
    atomic_fetch_add((atomic_int *)user_data, 1);
}

int main(void)
{
    alarm(60); /* a call that never returns is a failure, not a hang */
    memset(large, 1, sizeof large);
    consul_lock *first = lock_on("big_tls", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(first, &error));
    /* The library watches a lock that waits, and the thread for callbacks reports its outcome. */
    consul_lock *second = lock_on("big_tls", 20000, 30);
    atomic_int told = 0;
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(second, done, &told, &error));
    pause_ms(500);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(first, &error));
    while (atomic_load(&told) == 0) {
        pause_ms(5);
    }
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(second, &error));
    consul_lock_free(first);
    consul_lock_free(second);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(10000, &error));
    return 0;
}
