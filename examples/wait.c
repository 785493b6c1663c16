/*
 * Waits up to 10 seconds for a lock that somebody else may hold, and shows what one can know about
 * it while it is held.
 */
#include <consul_lock.h>
#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    consul_lock_error *error = NULL;

    /* A wrong option is remembered, and refused by consul_lock_new: one check is enough. */
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set_int(options, "acquire_timeout_ms", 10000, NULL);
    consul_lock_options_set_int(options, "lock_timeout_seconds", 60, NULL);
    consul_lock *lock = consul_lock_new(argc > 1 ? argv[1] : "wait-example", options, &error);
    consul_lock_options_free(options);
    if (lock == NULL) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        consul_lock_error_free(error);
        return 2;
    }

    consul_lock_status status = consul_lock_acquire(lock, &error);
    switch (status) {
    case CONSUL_LOCK_OK: {
        char key[256];
        consul_lock_key(lock, key, sizeof key);
        printf("%s is ours for %" PRId64 " ms, fencing token %" PRIu64 "\n", key,
               consul_lock_remaining_ms(lock), consul_lock_fencing_token(lock));
        /* The work. Then, was the lock ours all the time? */
        status = consul_lock_release(lock, &error);
        if (status != CONSUL_LOCK_OK) {
            fprintf(stderr, "%s\n", consul_lock_error_message(error));
        }
        break;
    }
    case CONSUL_LOCK_NOT_ACQUIRED: /* the message says who has it */
        printf("not our turn: %s\n", consul_lock_error_message(error));
        break;
    default: /* Consul could not be asked, or refused: nobody knows who has it */
        fprintf(stderr, "%s: %s\n", consul_lock_status_name(status),
                consul_lock_error_message(error));
        break;
    }

    consul_lock_error_free(error);
    consul_lock_free(lock);
    return status == CONSUL_LOCK_OK ? 0 : 1;
}
