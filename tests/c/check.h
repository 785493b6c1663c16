/* What the C tests share: checks that say where and why, and short names for long calls. */
#ifndef CHECK_H
#define CHECK_H

#include <consul_lock_async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The call must return `wanted`, and give an error with the same code (none for OK). */
#define EXPECT(wanted, call)                                                                       \
    do {                                                                                           \
        consul_lock_error *error = NULL;                                                           \
        consul_lock_status got = (call);                                                           \
        expect(__FILE__, __LINE__, #call, (wanted), got, error);                                   \
        consul_lock_error_free(error);                                                             \
    } while (0)

static inline void expect(const char *file, int line, const char *call, consul_lock_status wanted,
                          consul_lock_status got, const consul_lock_error *error)
{
    if (got != wanted || consul_lock_error_code(error) != got) {
        fprintf(stderr, "%s:%d: %s is %s and not %s; the error is %s: %s\n", file, line, call,
                consul_lock_status_name((int32_t)got), consul_lock_status_name((int32_t)wanted),
                consul_lock_status_name((int32_t)consul_lock_error_code(error)),
                consul_lock_error_message(error));
        exit(1);
    }
}

static inline int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* How much memory the process has mapped. */
static inline rlim_t mapped(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static inline void pause_ms(long ms)
{
    struct timespec length = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&length, NULL);
}

/* A lock that waits `wait_ms` and lives `seconds`. */
static inline consul_lock *lock_on(const char *key, int64_t wait_ms, int64_t seconds)
{
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set_int(options, "acquire_timeout_ms", wait_ms, NULL);
    consul_lock_options_set_int(options, "lock_timeout_seconds", seconds, NULL);
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new(key, options, &error);
    if (lock == NULL) {
        fprintf(stderr, "consul_lock_new: %s\n", consul_lock_error_message(error));
        exit(1);
    }
    consul_lock_options_free(options);
    return lock;
}

/* Whether a session holds the lock on a key. */
static inline bool is_taken(const char *key)
{
    consul_lock_holder_info *holder = NULL;
    EXPECT(CONSUL_LOCK_OK, consul_lock_holder(NULL, key, &holder, &error));
    bool taken = holder != NULL;
    consul_lock_holder_free(holder);
    return taken;
}

#endif
