/*
 * A program with two Rust static libraries in it, ours and somebody else's: both link, and a panic
 * is caught in both.
 */
#include <consul_lock.h>
#include <stdio.h>

/* Of the other library: panics, catches it, and says so. */
int second_rust_catches_a_panic(void);

/* Ours, with one function more: from now on acquire panics. */
void test_make_acquire_panic(void);

int main(void)
{
    if (second_rust_catches_a_panic() != 42) {
        fprintf(stderr, "the other library did not catch its panic\n");
        return 1;
    }
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new("two-rusts", NULL, &error);
    if (lock == NULL || consul_lock_acquire(lock, &error) != CONSUL_LOCK_OK ||
        consul_lock_release(lock, &error) != CONSUL_LOCK_OK) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        return 1;
    }
    consul_lock_free(lock);

    test_make_acquire_panic();
    lock = consul_lock_new("two-rusts", NULL, NULL);
    if (consul_lock_acquire(lock, &error) != CONSUL_LOCK_INTERNAL) {
        fprintf(stderr, "our panic did not become a status\n");
        return 1;
    }
    printf("caught: %s\n", consul_lock_error_message(error));
    consul_lock_error_free(error);
    consul_lock_free(lock);
    return second_rust_catches_a_panic() == 42 ? 0 : 1;
}
