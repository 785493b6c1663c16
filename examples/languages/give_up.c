#include <consul_lock.h>
#include <stdio.h>

int main(void)
{
    consul_lock_error *error = NULL;
    consul_lock_options *patient = consul_lock_options_new();
    consul_lock_options_set(patient, "acquire_timeout_ms", "2000", NULL);
    consul_lock *lock = consul_lock_new("nightly-report", patient, &error);
    consul_lock_options_free(patient);

    if (lock != NULL && consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK) {
        puts("making the report");
        consul_lock_release(lock, &error);
    }
    int failed = 0;
    if (consul_lock_error_code(error) == CONSUL_LOCK_NOT_ACQUIRED) {
        puts("another process makes it");
    } else if (error != NULL) {
        fprintf(stderr, "no report: %s\n", consul_lock_error_message(error));
        failed = 1;
    }
    consul_lock_error_free(error);
    consul_lock_free(lock);
    return failed;
}
