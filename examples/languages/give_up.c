#include <consul_lock.h>
#include <stdio.h>

int main(void)
{
    consul_lock_error *error = NULL;
    consul_lock_options *patient = consul_lock_options_new();
    consul_lock_options_set(patient, "acquire_timeout_ms", "2000", NULL);
    consul_lock *lock = consul_lock_new("nightly-report", patient, NULL);
    consul_lock_options_free(patient);

    consul_lock_status status = consul_lock_acquire(lock, &error);
    if (status == CONSUL_LOCK_OK) {
        puts("making the report");
        consul_lock_release(lock, NULL);
    } else if (status == CONSUL_LOCK_NOT_ACQUIRED) {
        puts("somebody else makes it");
    } else {
        fprintf(stderr, "nobody knows: %s\n", consul_lock_error_message(error));
    }
    consul_lock_error_free(error);
    consul_lock_free(lock);
    return 0;
}
