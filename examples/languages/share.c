#include <consul_lock.h>
#include <stdio.h>

static int failed = 0;

/* Works with the lock, or says that others have it; frees lock and error. */
static void work(consul_lock *lock, consul_lock_error *error, const char *busy)
{
    if (lock != NULL && consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK) {
        if (consul_lock_slot(lock) >= 0) {
            printf("licence %d of 0 to 2\n", (int)consul_lock_slot(lock));
        } else {
            puts("moving the money");
        }
        consul_lock_release(lock, &error);
    }
    if (consul_lock_error_code(error) == CONSUL_LOCK_NOT_ACQUIRED) {
        puts(busy);
    } else if (error != NULL) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        failed = 1;
    }
    consul_lock_error_free(error);
    consul_lock_free(lock);
}

int main(void)
{
    consul_lock_error *error = NULL;
    consul_lock_options *three = consul_lock_options_new();
    consul_lock_options_set(three, "mode", "share", NULL);
    consul_lock_options_set(three, "limit", "3", NULL);
    consul_lock *licence = consul_lock_new("licence", three, &error);
    consul_lock_options_free(three);
    work(licence, error, "all licences are in use");

    const char *accounts[] = {"account/7", "account/3"};
    consul_lock *both = consul_lock_new_all(accounts, 2, NULL, &error);
    work(both, error, "an account is in use");
    return failed;
}
