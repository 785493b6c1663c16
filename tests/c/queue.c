/* An event loop over a queue: every call that has a form for it, the loss of a lock, the log, and a
 * fork. */
#include "check.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

static consul_lock_queue *queue;
static int32_t fd;

/* Waits for the next event, as an event loop does. */
static consul_lock_event *next(void)
{
    for (;;) {
        consul_lock_event *event = consul_lock_queue_next(queue);
        if (event != NULL) {
            return event;
        }
        struct pollfd wanted = {fd, POLLIN, 0};
        CHECK(poll(&wanted, 1, 20000) == 1);
        char bytes[64];
        CHECK(read(fd, bytes, sizeof bytes) > 0);
    }
}

/* The next event must have this tag and this status. */
static void is_done(const char *file, int line, uint64_t tag, consul_lock_status wanted)
{
    consul_lock_event *event = next();
    CHECK(consul_lock_event_tag(event) == tag);
    CHECK(consul_lock_event_kind(event) == CONSUL_LOCK_EVENT_DONE);
    consul_lock_error *error = consul_lock_event_take_error(event);
    consul_lock_status code = (consul_lock_status)consul_lock_event_code(event);
    expect(file, line, "event", wanted, code, error);
    CHECK(consul_lock_event_take_error(event) == NULL);
    CHECK(consul_lock_event_line(event, NULL, 0) == 0);
    consul_lock_error_free(error);
    consul_lock_event_free(event);
}

#define DONE(tag, wanted) is_done(__FILE__, __LINE__, (tag), (wanted))
#define SENDER(tag) consul_lock_sender_new(queue, (tag))

static void calls(void)
{
    consul_lock *lock = lock_on("queue/calls", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_value(lock, "mine", 4, &error));
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_renew_start(lock, consul_lock_queue_done, SENDER(1), &error));
    DONE(1, CONSUL_LOCK_NOT_HELD);
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_acquire_start(lock, consul_lock_queue_done, SENDER(2), &error));
    DONE(2, CONSUL_LOCK_OK);
    CHECK(consul_lock_is_held(lock));
    EXPECT(CONSUL_LOCK_ALREADY_USED, consul_lock_set_value(lock, "late", 4, &error));
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_renew_start(lock, consul_lock_queue_done, SENDER(3), &error));
    DONE(3, CONSUL_LOCK_OK);
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_check_start(lock, consul_lock_queue_done, SENDER(4), &error));
    DONE(4, CONSUL_LOCK_OK);
    EXPECT(CONSUL_LOCK_OK, consul_lock_put_if_held_start(
                               lock, "c/queue", "v", 1, consul_lock_queue_done, SENDER(5), &error));
    DONE(5, CONSUL_LOCK_OK);
    EXPECT(CONSUL_LOCK_OK, consul_lock_delete_if_held_start(lock, "c/queue", consul_lock_queue_done,
                                                            SENDER(6), &error));
    DONE(6, CONSUL_LOCK_OK);

    /* A call that fails at once leaves the sender with the caller. */
    consul_lock_sender *sender = SENDER(7);
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT,
           consul_lock_delete_if_held_start(lock, "c//x", consul_lock_queue_done, sender, &error));
    consul_lock_sender_free(sender);

    EXPECT(CONSUL_LOCK_OK,
           consul_lock_holder_start(NULL, "queue/calls", consul_lock_queue_holder_done, SENDER(8),
                                    &error));
    consul_lock_event *event = next();
    CHECK(consul_lock_event_kind(event) == CONSUL_LOCK_EVENT_HOLDER);
    CHECK(consul_lock_event_tag(event) == 8 && consul_lock_event_code(event) == CONSUL_LOCK_OK);
    consul_lock_holder_info *holder = consul_lock_event_take_holder(event);
    char value[8] = "";
    CHECK(consul_lock_holder_value(holder, value, sizeof value) == 4 && !memcmp(value, "mine", 4));
    consul_lock_holder_free(holder);
    CHECK(consul_lock_event_take_holder(event) == NULL);
    consul_lock_event_free(event);

    EXPECT(CONSUL_LOCK_OK,
           consul_lock_release_start(lock, consul_lock_queue_done, SENDER(9), &error));
    DONE(9, CONSUL_LOCK_OK);
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_holder_start(NULL, "queue/calls", consul_lock_queue_holder_done, SENDER(10),
                                    &error));
    event = next();
    CHECK(consul_lock_event_take_holder(event) == NULL && consul_lock_event_code(event) == 0);
    consul_lock_event_free(event);
    consul_lock_free(lock);
}

static void many_wait_and_are_served_in_order(void)
{
    enum { MANY = 50 };
    consul_lock *locks[MANY];
    for (uint64_t i = 0; i < MANY; i++) {
        locks[i] = lock_on("queue/many", -1, 30);
        EXPECT(CONSUL_LOCK_OK,
               consul_lock_acquire_start(locks[i], consul_lock_queue_done, SENDER(i), &error));
    }
    /* A release serves the next waiter, before or after the event of the release. */
    for (uint64_t served = 0, released = 0; released < MANY;) {
        consul_lock_event *event = next();
        uint64_t tag = consul_lock_event_tag(event);
        CHECK(consul_lock_event_code(event) == CONSUL_LOCK_OK);
        consul_lock_event_free(event);
        if (tag < MANY) {
            CHECK(tag == served++);
            EXPECT(CONSUL_LOCK_OK, consul_lock_release_start(locks[tag], consul_lock_queue_done,
                                                             SENDER(MANY + tag), &error));
        } else {
            consul_lock_free(locks[tag - MANY]);
            released++;
        }
    }
}

static void losses_and_lines(void)
{
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_set_log_callback(consul_lock_queue_log, SENDER(20), consul_lock_sender_free,
                                        CONSUL_LOCK_LOG_LEVEL_ERROR));
    consul_lock *lock = lock_on("queue/lost", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_lost_callback(lock, consul_lock_queue_lost, SENDER(21),
                                                         consul_lock_sender_free, &error));
    /* A program that may write the key can take the lock away: here, by a guarded write. */
    consul_lock *thief = lock_on("queue/thief", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(thief, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_delete_if_held(thief, "locks/ephemeral/queue/lost", &error));
    EXPECT(CONSUL_LOCK_LOST, consul_lock_check(lock, &error));
    bool told = false, logged = false;
    while (!told || !logged) {
        consul_lock_event *event = next();
        char line[512];
        if (consul_lock_event_kind(event) == CONSUL_LOCK_EVENT_LOST) {
            CHECK(!told && consul_lock_event_tag(event) == 21);
            CHECK(consul_lock_event_code(event) == CONSUL_LOCK_LOST_REASON_KEY_GONE);
            told = true;
        } else {
            CHECK(consul_lock_event_kind(event) == CONSUL_LOCK_EVENT_LOG);
            CHECK(consul_lock_event_tag(event) == 20);
            CHECK(consul_lock_event_line(event, line, sizeof line) > 0);
            CHECK(consul_lock_event_code(event) == CONSUL_LOCK_LOG_LEVEL_ERROR);
            CHECK(strstr(line, "queue/lost") != NULL);
            logged = true;
        }
        consul_lock_event_free(event);
    }
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_log_callback(NULL, NULL, NULL, 1));
    EXPECT(CONSUL_LOCK_LOST, consul_lock_release(lock, &error));
    consul_lock_free(lock);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(thief, &error));
    consul_lock_free(thief);
}

/* A child neither sees the parent's events nor takes them away, and makes a queue of its own. */
static void a_child(void)
{
    consul_lock *lock = lock_on("queue/parent", 0, 30);
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_acquire_start(lock, consul_lock_queue_done, SENDER(30), &error));
    struct pollfd wanted = {fd, POLLIN, 0};
    CHECK(poll(&wanted, 1, 20000) == 1);
    consul_lock_sender *parents = SENDER(31);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(consul_lock_queue_next(queue) == NULL);
        consul_lock_queue_done(CONSUL_LOCK_OK, NULL, parents);
        CHECK(consul_lock_queue_next(queue) == NULL);
        CHECK(SENDER(1) != NULL);
        consul_lock *own = lock_on("queue/own", 0, 30);
        EXPECT(CONSUL_LOCK_FORKED, consul_lock_bind_to_queue(own, queue, &error));
        consul_lock_free(own);
        consul_lock_queue_free(queue);
        consul_lock_free(lock);
        close(fd);
        queue = consul_lock_queue_new(&fd, NULL);
        lock = lock_on("queue/child", 0, 30);
        EXPECT(CONSUL_LOCK_OK,
               consul_lock_acquire_start(lock, consul_lock_queue_done, SENDER(32), &error));
        DONE(32, CONSUL_LOCK_OK);
        EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
        EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    DONE(30, CONSUL_LOCK_OK);
    CHECK(consul_lock_is_held(lock));
    consul_lock_sender_free(parents);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    consul_lock_free(lock);
}

int main(void)
{
    consul_lock_error *error = NULL;
    queue = consul_lock_queue_new(&fd, &error);
    CHECK(queue != NULL && error == NULL && fd >= 0);
    CHECK(consul_lock_queue_next(queue) == NULL);
    calls();
    many_wait_and_are_served_in_order();
    losses_and_lines();
    a_child();
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_shutdown_start(5000, consul_lock_queue_done, SENDER(40), &error));
    DONE(40, CONSUL_LOCK_OK);
    consul_lock_sender *left = SENDER(41);
    consul_lock_queue_free(queue);
    consul_lock_queue_done(CONSUL_LOCK_OK, NULL, left);
    close(fd);
    return 0;
}
