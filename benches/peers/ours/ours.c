/* Takes and gives back a lock as it is told: the contract is in ../README.md. */
#include <consul_lock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long long)time.tv_sec * 1000000000ULL + (unsigned long long)time.tv_nsec;
}

static void must(consul_lock_status status, consul_lock_error *error)
{
    if (status != CONSUL_LOCK_OK) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        exit(1);
    }
}

static void turn(const char *key, const consul_lock_options *options, int name, long hold_ms)
{
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new(key, options, &error);
    must(lock == NULL ? consul_lock_error_code(error) : CONSUL_LOCK_OK, error);
    unsigned long long begun = now();
    if (consul_lock_acquire(lock, &error) != CONSUL_LOCK_OK) {
        printf("failed %d %s\n", name, consul_lock_error_message(error));
        consul_lock_error_free(error);
        consul_lock_free(lock);
        return;
    }
    printf("acquired %d %llu %llu\n", name, begun, now());
    struct timespec hold = {hold_ms / 1000, hold_ms % 1000 * 1000000};
    nanosleep(&hold, NULL);
    begun = now();
    must(consul_lock_release(lock, &error), error);
    printf("released %d %llu %llu\n", name, begun, now());
    consul_lock_free(lock);
}

static unsigned long long cycle(const char *key, const consul_lock_options *options)
{
    consul_lock_error *error = NULL;
    unsigned long long begun = now();
    consul_lock *lock = consul_lock_new(key, options, &error);
    must(lock == NULL ? consul_lock_error_code(error) : CONSUL_LOCK_OK, error);
    must(consul_lock_acquire(lock, &error), error);
    must(consul_lock_release(lock, &error), error);
    consul_lock_free(lock);
    return now() - begun;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s ADDRESS KEY\n", argv[0]);
        return 2;
    }
    const char *key = argv[2];
    setenv("CONSUL_HTTP_ADDR", argv[1], 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    consul_lock_error *error = NULL;
    must(consul_lock_defaults_set("lock_key_pattern", "%s", &error), error);
    consul_lock_options *options = consul_lock_options_new();
    must(consul_lock_options_set(options, "acquire_timeout_ms", "-1", &error), error);

    puts("ready");
    char line[128];
    while (fgets(line, sizeof line, stdin) != NULL) {
        int name;
        long hold_ms, count;
        if (sscanf(line, "turns %d %ld %ld", &name, &hold_ms, &count) == 3) {
            while (count-- > 0) {
                turn(key, options, name, hold_ms);
            }
        } else if (sscanf(line, "cycles %ld", &count) == 1) {
            unsigned long long times[1000];
            for (long i = 0; i < count && i < 1000; i++) {
                times[i] = cycle(key, options);
            }
            fputs("cycles", stdout);
            for (long i = 0; i < count && i < 1000; i++) {
                printf(" %llu", times[i]);
            }
            putchar('\n');
        }
    }
    consul_lock_options_free(options);
    return 0;
}
