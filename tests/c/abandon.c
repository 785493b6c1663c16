/* An abandoned lock stays until its TTL, which then frees it. */
#include "check.h"

int main(void)
{
    consul_lock *lock = lock_on("abandon", 0, 10);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    int64_t begun = now_ms();
    consul_lock_abandon(lock);
    CHECK(now_ms() - begun < 500);
    CHECK(is_taken("abandon"));

    consul_lock *next = lock_on("abandon", 60000, 10);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(next, &error));
    CHECK(now_ms() - begun > 9000);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(next, &error));
    consul_lock_free(next);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
