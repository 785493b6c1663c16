/* Cycles of a lock as a program with an event loop makes them: calls that do not wait, a queue and
 * poll(). What Ruby and Node add to C is more than this only by what they do themselves. The
 * command `cycles` of ../peers/README.md. */
#include <consul_lock.h>
#include <consul_lock_async.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static consul_lock_queue *queue;
static int32_t fd;

static unsigned long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long long)time.tv_sec * 1000000000ULL + (unsigned long long)time.tv_nsec;
}

static void must(int is_well)
{
    if (!is_well) {
        fputs("a call failed\n", stderr);
        exit(1);
    }
}

/* Waits for the outcome of the call that was begun. */
static void wait_for_success(consul_lock_status begun)
{
    must(begun == CONSUL_LOCK_OK);
    consul_lock_event *event;
    while ((event = consul_lock_queue_next(queue)) == NULL) {
        struct pollfd wanted = {fd, POLLIN, 0};
        char bytes[64];
        must(poll(&wanted, 1, 20000) == 1 && read(fd, bytes, sizeof bytes) > 0);
    }
    must(consul_lock_event_code(event) == CONSUL_LOCK_OK);
    consul_lock_event_free(event);
}

static unsigned long long cycle(const char *key)
{
    unsigned long long begun = now();
    consul_lock *lock = consul_lock_new(key, NULL, NULL);
    must(lock != NULL);
    wait_for_success(consul_lock_acquire_start(lock, consul_lock_queue_done,
                                               consul_lock_sender_new(queue, 1), NULL));
    wait_for_success(consul_lock_release_start(lock, consul_lock_queue_done,
                                               consul_lock_sender_new(queue, 2), NULL));
    consul_lock_free(lock);
    return now() - begun;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s ADDRESS KEY\n", argv[0]);
        return 2;
    }
    setenv("CONSUL_HTTP_ADDR", argv[1], 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    must(consul_lock_defaults_set("lock_key_pattern", "%s", NULL) == CONSUL_LOCK_OK);
    queue = consul_lock_queue_new(&fd, NULL);
    must(queue != NULL);
    puts("ready");
    char line[128];
    long count;
    while (fgets(line, sizeof line, stdin) != NULL) {
        must(sscanf(line, "cycles %ld", &count) == 1 && count > 0 && count <= 1000);
        unsigned long long times[1000];
        for (long i = 0; i < count; i++) {
            times[i] = cycle(argv[2]);
        }
        fputs("cycles", stdout);
        for (long i = 0; i < count; i++) {
            printf(" %llu", times[i]);
        }
        putchar('\n');
    }
    consul_lock_queue_free(queue);
    return 0;
}
