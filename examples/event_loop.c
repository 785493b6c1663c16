/*
 * A program with an event loop: poll() waits for the events of the lock beside the program's own
 * work, and no thread blocks. With libuv, libevent or epoll the descriptor is watched in the same
 * way.
 */
#define _POSIX_C_SOURCE 200809L

#include <consul_lock_async.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { ACQUIRED, LOST, RELEASED }; /* the tags of the events */

static struct {
    consul_lock *lock;
    consul_lock_queue *queue;
    int step; /* the next step of the work; 0: no work to do */
    bool over, failed;
} program;

/* Reports an error, frees it, and ends the loop. */
static void fail(consul_lock_error *error)
{
    fprintf(stderr, "%s\n", consul_lock_error_message(error));
    consul_lock_error_free(error);
    program.over = program.failed = true;
}

/* consul_lock_acquire_start() or consul_lock_release_start(), whose outcome becomes an event. */
static void begin(consul_lock_status (*start)(consul_lock *, consul_lock_done, void *,
                                              consul_lock_error **),
                  uint64_t tag)
{
    consul_lock_error *error = NULL;
    consul_lock_sender *sender = consul_lock_sender_new(program.queue, tag);
    if (start(program.lock, consul_lock_queue_done, sender, &error) != CONSUL_LOCK_OK) {
        consul_lock_sender_free(sender);
        fail(error);
    }
}

static void handle(consul_lock_event *event)
{
    consul_lock_error *error = consul_lock_event_take_error(event);
    if (error != NULL) {
        fail(error);
        return;
    }
    switch (consul_lock_event_tag(event)) {
    case ACQUIRED:
        puts("the lock is ours");
        program.step = 1;
        break;
    case LOST: /* another process may work now: stop */
        printf("lost: %s\n", consul_lock_lost_reason_name(consul_lock_event_code(event)));
        program.over = program.failed = true;
        break;
    case RELEASED:
        puts("released");
        program.over = true;
        break;
    }
}

static void work(void)
{
    printf("step %d\n", program.step);
    if (++program.step > 3) {
        program.step = 0;
        begin(consul_lock_release_start, RELEASED);
    }
}

int main(void)
{
    consul_lock_error *error = NULL;
    int32_t fd = -1;
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set_int(options, "acquire_timeout_ms", 10000, NULL);
    program.lock = consul_lock_new("event-loop-example", options, &error);
    consul_lock_options_free(options);
    if (program.lock != NULL) {
        program.queue = consul_lock_queue_new(&fd, &error);
    }
    if (program.queue != NULL) {
        consul_lock_set_lost_callback(program.lock, consul_lock_queue_lost,
                                      consul_lock_sender_new(program.queue, LOST),
                                      consul_lock_sender_free, &error);
    }
    if (error != NULL) {
        fail(error);
    } else {
        begin(consul_lock_acquire_start, ACQUIRED);
    }

    while (!program.over) {
        struct pollfd events = {fd, POLLIN, 0};
        if (poll(&events, 1, program.step > 0 ? 100 : -1) == 0) {
            work(); /* the 100 ms until the next step are over */
            continue;
        }
        /* First the bytes, then all events: so no event is missed. */
        char bytes[64];
        while (read(fd, bytes, sizeof bytes) > 0) {
        }
        consul_lock_event *event;
        while ((event = consul_lock_queue_next(program.queue)) != NULL) {
            handle(event);
            consul_lock_event_free(event);
        }
    }

    consul_lock_free(program.lock);
    consul_lock_queue_free(program.queue);
    if (fd >= 0) {
        close(fd);
    }
    return program.failed;
}
