/* The system gives no memory for something large: the call fails, and the process lives. */
#include "check.h"

#include <sys/resource.h>
#include <unistd.h>

enum { LARGE = 390000 };

int main(void)
{
    alarm(60); /* a call that never returns is a failure, not a hang */
    static char large[LARGE];
    consul_lock *lock = lock_on("no_memory", 5000, 60);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    consul_lock_options *options = consul_lock_options_new();
    consul_lock *later = lock_on("no_memory/later", 5000, 60);
    EXPECT(CONSUL_LOCK_OK, consul_lock_put_if_held(lock, "no_memory/data", "small", 5, &error));
    free(malloc(100 << 10)); /* room on the heap, so that only what is large is refused */

    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = mapped();
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    EXPECT(CONSUL_LOCK_NO_RESOURCES,
           consul_lock_options_set_bytes(options, "value", large, LARGE, &error));
    EXPECT(CONSUL_LOCK_NO_RESOURCES, consul_lock_set_value(later, large, LARGE, &error));
    EXPECT(CONSUL_LOCK_NO_RESOURCES,
           consul_lock_put_if_held(lock, "no_memory/data", large, LARGE, &error));
    limit.rlim_cur = before;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);

    EXPECT(CONSUL_LOCK_OK, consul_lock_set_value(later, large, LARGE, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_put_if_held(lock, "no_memory/data", large, LARGE, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_delete_if_held(lock, "no_memory/data", &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    consul_lock_options_free(options);
    consul_lock_free(later);
    consul_lock_free(lock);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
