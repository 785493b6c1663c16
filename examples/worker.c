/*
 * One of several processes that want the same job, which one of them at a time may do.
 *
 *     worker NAME KEY WORK_MS WAIT_MS TTL_SECONDS
 *
 * Tries to take the lock on KEY, waiting up to WAIT_MS for it, works for WORK_MS while it has it,
 * and releases it. Exit status: 0 the job is done, 1 another process had the lock, 2 a call failed.
 * The settings of the connection come from CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN.
 */
#define _POSIX_C_SOURCE 200809L

#include <consul_lock.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Every line carries the time, so that the lines of two processes can be put in order. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void work(long milliseconds)
{
    struct timespec length = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    nanosleep(&length, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: %s NAME KEY WORK_MS WAIT_MS TTL_SECONDS\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set(options, "acquire_timeout_ms", argv[4], NULL);
    consul_lock_options_set(options, "lock_timeout_seconds", argv[5], NULL);

    /* The set remembers a wrong option, and consul_lock_new() reports it. */
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new(argv[2], options, &error);
    consul_lock_options_free(options);
    if (lock == NULL) {
        fprintf(stderr, "%s: %s\n", argv[1], consul_lock_error_message(error));
        consul_lock_error_free(error);
        return 2;
    }

    double begun = seconds();
    int result = 2;
    switch (consul_lock_acquire(lock, &error)) {
    case CONSUL_LOCK_OK:
        printf("%.6f %s has the lock after %.3f s; its fencing token is %llu\n", seconds(), argv[1],
               seconds() - begun, (unsigned long long)consul_lock_fencing_token(lock));
        work(atol(argv[3]));
        printf("%.6f %s gives it back\n", seconds(), argv[1]);
        if (consul_lock_release(lock, &error) == CONSUL_LOCK_OK) {
            result = 0;
        }
        break;
    case CONSUL_LOCK_NOT_ACQUIRED:
        printf("%.6f %s does not have it: %s\n", seconds(), argv[1],
               consul_lock_error_message(error));
        result = 1;
        break;
    default:
        break;
    }
    if (result == 2) {
        fprintf(stderr, "%s: %s\n", argv[1], consul_lock_error_message(error));
    }
    consul_lock_error_free(error);
    consul_lock_free(lock);
    return result;
}
