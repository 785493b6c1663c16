/* A panic of the library is a status, and the host lives. */
#include <consul_lock.h>
#include <stdio.h>

/* From now on acquire panics. */
void test_make_acquire_panic(void);

int main(void)
{
    consul_lock_error *error = NULL;
    test_make_acquire_panic();
    for (int i = 0; i < 2; i++) {
        consul_lock *lock = consul_lock_new("panics", NULL, NULL);
        if (consul_lock_acquire(lock, &error) != CONSUL_LOCK_INTERNAL) {
            fprintf(stderr, "the panic did not become a status: %s\n",
                    consul_lock_error_message(error));
            return 1;
        }
        consul_lock_error_free(error);
        error = NULL;
        consul_lock_free(lock);
    }
    return 0;
}
