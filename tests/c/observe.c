/*
 * Observers and holders in C: as callbacks, as events, in a child after fork, and what is freed.
 */
#include "check.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int told, freed;
static atomic_uint_fast64_t token;

static void hear(consul_lock_status status, consul_lock_holder_info *holder,
                 consul_lock_error *error, void *user_data)
{
    CHECK(status == CONSUL_LOCK_OK && error == NULL && user_data == &freed);
    atomic_store(&token, consul_lock_holder_fencing_token(holder));
    consul_lock_holder_free(holder);
    atomic_fetch_add(&told, 1);
}

static void count(void *user_data)
{
    atomic_fetch_add((atomic_int *)user_data, 1);
}

static void wait_for(uint64_t wanted)
{
    int64_t end = now_ms() + 20000;
    while (atomic_load(&told) == 0 || atomic_load(&token) != wanted) {
        CHECK(now_ms() < end);
        pause_ms(5);
    }
}

static void callbacks(void)
{
    consul_lock *lock = lock_on("observe/callback", 0, 30);
    consul_lock_observer *observer =
        consul_lock_observe(NULL, "observe/callback", hear, &freed, count, NULL);
    CHECK(observer != NULL);
    wait_for(0);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    wait_for(consul_lock_fencing_token(lock));

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(30);
        consul_lock_observer_free(observer);
        CHECK(atomic_load(&freed) == 0);
        /* An observer of its own works. */
        atomic_store(&told, 0);
        observer = consul_lock_observe(NULL, "observe/callback", hear, &freed, count, NULL);
        wait_for(atomic_load(&token));
        consul_lock_observer_free(observer);
        CHECK(atomic_load(&freed) == 1);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    wait_for(0);
    CHECK(atomic_load(&freed) == 0);
    consul_lock_observer_free(observer);
    CHECK(atomic_load(&freed) == 1);
    consul_lock_free(lock);
}

static consul_lock_event *next(consul_lock_queue *queue, int fd)
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

static void events(void)
{
    int32_t fd = -1;
    consul_lock_queue *queue = consul_lock_queue_new(&fd, NULL);
    consul_lock_observer *observer =
        consul_lock_observe(NULL, "observe/queue", consul_lock_queue_observed,
                            consul_lock_sender_new(queue, 7), consul_lock_sender_free, NULL);
    CHECK(observer != NULL);
    consul_lock *lock = lock_on("observe/queue", 0, 30);
    for (int held = 0; held < 2; held++) {
        consul_lock_event *event = next(queue, fd);
        CHECK(consul_lock_event_kind(event) == CONSUL_LOCK_EVENT_OBSERVED);
        CHECK(consul_lock_event_tag(event) == 7);
        CHECK(consul_lock_event_code(event) == CONSUL_LOCK_OK);
        consul_lock_holder_info *holder = consul_lock_event_take_holder(event);
        CHECK((holder != NULL) == (held == 1));
        CHECK(consul_lock_holder_name(holder, NULL, 0) == 0);
        CHECK(consul_lock_event_take_holder(event) == NULL);
        consul_lock_holder_free(holder);
        consul_lock_event_free(event);
        if (held == 0) {
            EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
        }
    }
    consul_lock_observer_free(observer);
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_holders_start(NULL, "observe/queue", consul_lock_queue_holders_done,
                                     consul_lock_sender_new(queue, 8), &error));
    consul_lock_event *event = next(queue, fd);
    CHECK(consul_lock_event_kind(event) == CONSUL_LOCK_EVENT_HOLDERS);
    CHECK(consul_lock_event_tag(event) == 8 && consul_lock_event_code(event) == CONSUL_LOCK_OK);
    consul_lock_holders_info *holders = consul_lock_event_take_holders(event);
    CHECK(consul_lock_holders_count(holders) == 1);
    const consul_lock_holder_info *holder = consul_lock_holders_get(holders, 0);
    CHECK(consul_lock_holder_fencing_token(holder) == consul_lock_fencing_token(lock));
    CHECK(consul_lock_holders_get(holders, 1) == NULL);
    CHECK(consul_lock_holders_role(holders, 1) == CONSUL_LOCK_ROLE_NONE);
    CHECK(consul_lock_holders_slot(holders, 1) == -1);
    consul_lock_holders_free(holders);
    consul_lock_event_free(event);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    consul_lock_free(lock);
    consul_lock_queue_free(queue);
    close(fd);
}

static void refusals(void)
{
    consul_lock_error *error = NULL;
    int before = atomic_load(&freed);
    CHECK(consul_lock_observe(NULL, "", hear, &freed, count, &error) == NULL);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(atomic_load(&freed) == before + 1);
    consul_lock_error_free(error);
    CHECK(consul_lock_holders(NULL, "", &error) == NULL);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_INVALID_ARGUMENT);
    consul_lock_error_free(error);
}

int main(void)
{
    callbacks();
    events();
    refusals();
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
