/* Takes and gives back a lock, on a real Consul. */
#include <consul_lock.h>
#include <stdio.h>

int main(void)
{
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new("consumer", NULL, &error);
    if (lock == NULL || consul_lock_acquire(lock, &error) != CONSUL_LOCK_OK ||
        consul_lock_release(lock, &error) != CONSUL_LOCK_OK) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        return 1;
    }
    consul_lock_free(lock);
    return 0;
}
