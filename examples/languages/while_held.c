#include <consul_lock.h>
#include <stdio.h>
#include <time.h>

int main(void)
{
    consul_lock_error *error = NULL;
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set(options, "auto_renew", "true", NULL);
    consul_lock *lock = consul_lock_new("long-work", options, &error);
    consul_lock_options_free(options);

    if (lock != NULL && consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK) {
        for (int step = 1; step <= 100 && consul_lock_is_held(lock); step++) {
            printf("step %d\n", step);
            nanosleep(&(struct timespec){0, 100000000}, NULL);
        }
        consul_lock_release(lock, &error);
    }
    int failed = 0;
    if (consul_lock_error_code(error) == CONSUL_LOCK_LOST) {
        puts("lost: stopped");
    } else if (error != NULL) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        failed = 1;
    }
    consul_lock_error_free(error);
    consul_lock_free(lock);
    return failed;
}
