/*
 * Waits up to 10 seconds for a lock that another process may hold, and shows what its holder can
 * know about it.
 */
#include <consul_lock.h>
#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    consul_lock_error *error = NULL;

    /* The set remembers a wrong option, and consul_lock_new() refuses it: one check is enough. */
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
        /* The work is here. The release says whether the lock was ours all the time. */
        status = consul_lock_release(lock, &error);
        if (status != CONSUL_LOCK_OK) {
            fprintf(stderr, "%s\n", consul_lock_error_message(error));
        }
        break;
    }
    case CONSUL_LOCK_NOT_ACQUIRED: /* the message names the holder */
        printf("not our turn: %s\n", consul_lock_error_message(error));
        break;
    default: /* no usable answer, or a refusal: the holder is not known */
        fprintf(stderr, "%s: %s\n", consul_lock_status_name(status),
                consul_lock_error_message(error));
        break;
    }

    consul_lock_error_free(error);
    consul_lock_free(lock);
    return status == CONSUL_LOCK_OK ? 0 : 1;
}
