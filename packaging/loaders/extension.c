/* A part of a program that is linked with the library of the system, of a later version than that
 * of the package. */
#include <consul_lock.h>

/* What the version of the package does not have yet. */
int consul_lock_of_a_later_version(void);

static consul_lock *held;

/* Makes one attempt, and keeps the lock if the attempt succeeds. Gives the status. */
int extension_take(const char *key)
{
    consul_lock *lock = consul_lock_new(key, NULL, NULL);
    consul_lock_status status = consul_lock_acquire(lock, NULL);
    if (status == CONSUL_LOCK_OK)
        held = lock;
    else
        consul_lock_free(lock);
    return status;
}

/* Gives the lock back. Gives the status. */
int extension_give(void)
{
    consul_lock_status status = consul_lock_release(held, NULL);
    consul_lock_free(held);
    return consul_lock_of_a_later_version() ? (int)status : -1;
}
