/* The first program: only one at a time makes the report, in the whole datacenter. */
#include <consul_lock.h>
#include <stdio.h>

int main(void)
{
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new("nightly-report", NULL, &error);
    if (lock != NULL && consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK) {
        puts("making the report");
        consul_lock_release(lock, &error);
    }
    int failed = error != NULL;
    if (failed)
        printf("no report: %s\n", consul_lock_error_message(error));
    consul_lock_error_free(error);
    consul_lock_free(lock);
    return failed;
}
