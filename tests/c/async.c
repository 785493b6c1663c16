/*
 * Calls that do not wait: another thread reports each outcome once, with an error of its own. A
 * callback calls every function of the library, and none of them waits for another callback.
 */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* What one callback received. */
typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int times;
    consul_lock_status status;
    consul_lock_error *error;
    pthread_t caller;
} told;

static void told_init(told *to)
{
    memset(to, 0, sizeof *to);
    pthread_mutex_init(&to->mutex, NULL);
    pthread_cond_init(&to->changed, NULL);
    to->caller = pthread_self();
}

static void done(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    told *to = user_data;
    CHECK(!pthread_equal(pthread_self(), to->caller));
    pthread_mutex_lock(&to->mutex);
    to->times++;
    to->status = status;
    to->error = error;
    pthread_cond_signal(&to->changed);
    pthread_mutex_unlock(&to->mutex);
}

/* Waits for a callback, and frees its error. */
static void is_told(told *to, consul_lock_status wanted)
{
    pthread_mutex_lock(&to->mutex);
    while (to->times == 0) {
        pthread_cond_wait(&to->changed, &to->mutex);
    }
    pthread_mutex_unlock(&to->mutex);
    expect(__FILE__, __LINE__, "done", wanted, to->status, to->error);
    consul_lock_error_free(to->error);
    to->error = NULL;
}

static void outcomes(void)
{
    told all[8];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        told_init(&all[i]);
    }
    consul_lock *held = lock_on("async-c", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(held, done, &all[0], &error));
    is_told(&all[0], CONSUL_LOCK_OK);
    CHECK(consul_lock_is_held(held));
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(held, done, &all[1], &error));
    is_told(&all[1], CONSUL_LOCK_ALREADY_USED);

    consul_lock *refused = lock_on("async-c", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(refused, done, &all[2], &error));
    is_told(&all[2], CONSUL_LOCK_NOT_ACQUIRED);
    consul_lock_free(refused);

    consul_lock *cancelled = lock_on("async-c", -1, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(cancelled, done, &all[3], &error));
    consul_lock_cancel(cancelled);
    is_told(&all[3], CONSUL_LOCK_CANCELLED);
    consul_lock_free(cancelled);

    consul_lock *freed = lock_on("async-c", -1, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(freed, done, &all[4], &error));
    consul_lock_free(freed);
    is_told(&all[4], CONSUL_LOCK_CANCELLED);

    consul_lock *waiting = lock_on("async-c", -1, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(waiting, done, &all[5], &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release_start(held, done, &all[6], &error));
    consul_lock_free(held);
    is_told(&all[6], CONSUL_LOCK_OK);
    is_told(&all[5], CONSUL_LOCK_OK);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release_start(waiting, done, &all[7], &error));
    is_told(&all[7], CONSUL_LOCK_OK);
    consul_lock_free(waiting);

    pause_ms(300);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(all[i].times == 1 && all[i].error == NULL);
    }
}

static int generate(consul_lock_value *value, void *user_data)
{
    (void)user_data;
    return (int)consul_lock_value_set(value, "v", 1);
}

static void hear(consul_lock_log_level level, const char *line, void *user_data)
{
    (void)level;
    (void)line;
    (void)user_data;
}

typedef struct {
    consul_lock *lock;
    told *first;
    told *second;
} everything;

/* Calls every function of the library (tests/all/c_api.rs checks that none is missing). */
static void queue_inside(consul_lock *lock);

static void observed(consul_lock_status status, consul_lock_holder_info *holder,
                     consul_lock_error *none, void *user_data)
{
    CHECK(status == CONSUL_LOCK_OK && none == NULL && user_data == NULL);
    consul_lock_holder_free(holder);
}

static void inside(consul_lock_status status, consul_lock_error *none, void *user_data)
{
    everything *in = user_data;
    char buf[128];
    CHECK(status == CONSUL_LOCK_OK && none == NULL);
    consul_lock *lock = in->lock;
    EXPECT(CONSUL_LOCK_ALREADY_USED, consul_lock_acquire(lock, &error));
    queue_inside(lock);
    EXPECT(CONSUL_LOCK_OK, consul_lock_renew(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_check(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_put_if_held(lock, "c/inside", "v", 1, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_delete_if_held(lock, "c/inside", &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_lost_callback(lock, NULL, NULL, NULL, &error));
    CHECK(consul_lock_is_held(lock) && consul_lock_remaining_ms(lock) > 0);
    CHECK(consul_lock_why_lost(lock) == 0);
    CHECK(consul_lock_fencing_token(lock) > 0);
    CHECK(consul_lock_key(lock, buf, sizeof buf) > 0);
    CHECK(consul_lock_keys_count(lock) == 1 && consul_lock_slot(lock) == -1);
    CHECK(consul_lock_key_at(lock, 0, buf, sizeof buf) > 0);
    CHECK(consul_lock_session_id(lock, buf, sizeof buf) == 36);

    consul_lock_options *options = consul_lock_options_new();
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set(options, "acquire_timeout_ms", "0", &error));
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_options_set_int(options, "lock_timeout_seconds", 30, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set_bytes(options, "value", "v", 1, &error));
    consul_lock_client *client = consul_lock_client_new(NULL, NULL);
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set_client(options, client, &error));
    consul_lock *other = consul_lock_new("async-c/other", options, NULL);
    consul_lock_options_free(options);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(other, &error));
    consul_lock_holder_info *holder = NULL;
    EXPECT(CONSUL_LOCK_OK, consul_lock_holder(client, "async-c/other", &holder, &error));
    CHECK(consul_lock_holder_session(holder, buf, sizeof buf) == 36);
    CHECK(consul_lock_holder_name(holder, buf, sizeof buf) > 0);
    CHECK(consul_lock_holder_node(holder, buf, sizeof buf) > 0);
    CHECK(consul_lock_holder_value(holder, buf, sizeof buf) == 1);
    CHECK(consul_lock_holder_fencing_token(holder) == consul_lock_fencing_token(other));
    CHECK(consul_lock_holder_since_ms(holder) == 0); /* the value is another one */
    CHECK(consul_lock_holder_ttl_ms(holder) == 30000);
    consul_lock_holder_free(holder);
    consul_lock_holders_info *holders = consul_lock_holders(client, "async-c/other", NULL);
    CHECK(consul_lock_holders_count(holders) == 1);
    CHECK(consul_lock_holders_role(holders, 0) == CONSUL_LOCK_ROLE_EXCLUSIVE);
    CHECK(consul_lock_holder_session(consul_lock_holders_get(holders, 0), buf, sizeof buf) == 36);
    CHECK(consul_lock_holders_limit(holders, 0) == 0 && consul_lock_holders_slot(holders, 0) == -1);
    CHECK(consul_lock_holders_key_count(holders, 0) == 0);
    CHECK(consul_lock_holders_key(holders, 0, 0, buf, sizeof buf) == 0);
    CHECK(consul_lock_holders_json(holders, buf, sizeof buf) > 100);
    consul_lock_holders_free(holders);
    consul_lock_observer *observer =
        consul_lock_observe(client, "async-c/other", observed, NULL, NULL, NULL);
    CHECK(observer != NULL);
    consul_lock_observer_free(observer);
    EXPECT(CONSUL_LOCK_OK, consul_lock_downgrade(other, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_upgrade(other, 0, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(other, &error));
    const char *const keys[] = {"async-c/one", "async-c/two"};
    consul_lock *several = consul_lock_new_all(keys, 2, NULL, NULL);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(several, &error));
    consul_lock_free(several);

    consul_lock_error *error = NULL;
    CHECK(consul_lock_release(other, &error) == CONSUL_LOCK_NOT_HELD);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_NOT_HELD);
    CHECK(*consul_lock_error_message(error) != '\0' && consul_lock_error_http_status(error) == 0);
    CHECK(!consul_lock_error_is_retryable(error) && consul_lock_error_why_lost(error) == 0);
    consul_lock_error_free(error);
    consul_lock_abandon(other);

    CHECK(consul_lock_set_log_callback(hear, NULL, NULL, CONSUL_LOCK_LOG_LEVEL_DEBUG) == 0);
    CHECK(consul_lock_set_log_callback(NULL, NULL, NULL, CONSUL_LOCK_LOG_LEVEL_DEBUG) == 0);
    consul_lock_set_value_generator(generate, NULL, NULL);
    consul_lock_set_value_generator(NULL, NULL, NULL);
    consul_lock_set_default_client(client);
    consul_lock_set_default_client(NULL);
    EXPECT(CONSUL_LOCK_OK, consul_lock_defaults_set("acquire_timeout_ms", "0", &error));
    CHECK(consul_lock_client_stats(client, buf, sizeof buf) > sizeof buf && buf[0] == '{');
    CHECK(consul_lock_version() != NULL && consul_lock_status_name(0) != NULL);
    CHECK(consul_lock_lost_reason_name(0) != NULL);
    CHECK(consul_lock_abi_version() == CONSUL_LOCK_ABI_VERSION);

    /* The outcomes of what begins here arrive after this callback has returned. */
    consul_lock *third = lock_on("async-c/third", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(third, done, in->first, &error));
    consul_lock_cancel(third);
    consul_lock_free(third);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release_start(lock, done, in->second, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    consul_lock_free(lock);
    consul_lock_client_free(client);
    CHECK(in->first->times == 0 && in->second->times == 0);
}

/* Waits for the event of a call that worked. */
static void worked(consul_lock_queue *queue)
{
    consul_lock_event *event;
    while ((event = consul_lock_queue_next(queue)) == NULL) {
        pause_ms(1);
    }
    CHECK(consul_lock_event_code(event) == CONSUL_LOCK_OK);
    consul_lock_event_free(event);
}

/* A queue needs no thread for callbacks, so its events also come while a callback runs. */
static void queue_inside(consul_lock *lock)
{
    int32_t fd = -1;
    consul_lock_queue *queue = consul_lock_queue_new(&fd, NULL);
    consul_lock_sender *senders[6];
    for (uint64_t i = 0; i < 6; i++) {
        senders[i] = consul_lock_sender_new(queue, i);
    }
    const consul_lock_done done = consul_lock_queue_done;
    EXPECT(CONSUL_LOCK_ALREADY_USED, consul_lock_set_value(lock, "v", 1, &error));
    consul_lock *bound = lock_on("async-c/bound", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_bind_to_queue(bound, queue, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(bound, &error));
    consul_lock_sender *changes[2] = {consul_lock_sender_new(queue, 10),
                                      consul_lock_sender_new(queue, 11)};
    EXPECT(CONSUL_LOCK_OK, consul_lock_downgrade_start(bound, done, changes[0], &error));
    worked(queue);
    EXPECT(CONSUL_LOCK_OK, consul_lock_upgrade_start(bound, 0, done, changes[1], &error));
    worked(queue);
    consul_lock_free(bound);
    EXPECT(CONSUL_LOCK_OK, consul_lock_renew_start(lock, done, senders[0], &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_check_start(lock, done, senders[1], &error));
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_put_if_held_start(lock, "c/queue", "v", 1, done, senders[2], &error));
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_delete_if_held_start(lock, "c/other", done, senders[3], &error));
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_holder_start(NULL, "async-c/inside", consul_lock_queue_holder_done,
                                    senders[4], &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown_start(0, done, senders[5], &error));
    for (int told = 0; told < 6;) {
        consul_lock_event *event = consul_lock_queue_next(queue);
        if (event == NULL) {
            pause_ms(1);
            continue;
        }
        uint64_t tag = consul_lock_event_tag(event);
        int32_t code = consul_lock_event_code(event);
        CHECK(consul_lock_event_kind(event) ==
              (tag == 4 ? CONSUL_LOCK_EVENT_HOLDER : CONSUL_LOCK_EVENT_DONE));
        CHECK(code == CONSUL_LOCK_OK || (tag == 5 && code == CONSUL_LOCK_UNCONFIRMED));
        consul_lock_holder_free(consul_lock_event_take_holder(event));
        consul_lock_error_free(consul_lock_event_take_error(event));
        consul_lock_event_free(event);
        told++;
    }
    EXPECT(CONSUL_LOCK_OK, consul_lock_delete_if_held(lock, "c/queue", &error));
    consul_lock_queue_done(CONSUL_LOCK_OK, NULL, consul_lock_sender_new(queue, 8));
    consul_lock_queue_holder_done(CONSUL_LOCK_OK, NULL, NULL, consul_lock_sender_new(queue, 9));
    consul_lock_event_free(consul_lock_queue_next(queue));
    consul_lock_event_free(consul_lock_queue_next(queue));
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_holders_start(NULL, "async-c/inside", consul_lock_queue_holders_done,
                                     consul_lock_sender_new(queue, 12), &error));
    consul_lock_event *all = NULL;
    while ((all = consul_lock_queue_next(queue)) == NULL) {
        pause_ms(1);
    }
    CHECK(consul_lock_event_kind(all) == CONSUL_LOCK_EVENT_HOLDERS);
    consul_lock_holders_free(consul_lock_event_take_holders(all));
    consul_lock_event_free(all);
    consul_lock_queue_holders_done(CONSUL_LOCK_OK, NULL, NULL, NULL);
    consul_lock_sender *sender = consul_lock_sender_new(queue, 7);
    consul_lock_queue_observed(CONSUL_LOCK_OK, NULL, NULL, sender);
    consul_lock_event_free(consul_lock_queue_next(queue));
    consul_lock_queue_lost(CONSUL_LOCK_LOST_REASON_EXPIRED, sender);
    consul_lock_queue_log(CONSUL_LOCK_LOG_LEVEL_INFO, "a line", sender);
    consul_lock_sender_free(sender);
    consul_lock_event_free(consul_lock_queue_next(queue));
    consul_lock_event *line = consul_lock_queue_next(queue);
    CHECK(consul_lock_event_line(line, NULL, 0) == 6);
    consul_lock_event_free(line);
    consul_lock_queue_free(queue);
    close(fd);
}

static atomic_int freed;

static void count_free(void *user_data)
{
    CHECK(user_data == &freed);
    atomic_fetch_add(&freed, 1);
}

/* The library frees the data of a log callback once, refused, replaced or removed. */
static void data_is_freed(void)
{
    const int32_t all = CONSUL_LOCK_LOG_LEVEL_DEBUG;
    CHECK(consul_lock_set_log_callback(hear, &freed, count_free, all) == CONSUL_LOCK_OK);
    CHECK(consul_lock_set_log_callback(hear, &freed, count_free, 5) ==
          CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(atomic_load(&freed) == 1); /* the refused one, at once */
    CHECK(consul_lock_set_log_callback(hear, &freed, count_free, all) == CONSUL_LOCK_OK);
    CHECK(consul_lock_set_log_callback(NULL, &freed, count_free, all) == CONSUL_LOCK_OK);
    for (int i = 0; i < 1000 && atomic_load(&freed) < 4; i++) {
        pause_ms(5); /* until the line that was under way has arrived */
    }
    CHECK(atomic_load(&freed) == 4);
}

int main(void)
{
    alarm(120); /* a deadlock is a failure, not a hang */
    outcomes();
    data_is_freed();

    told first, second;
    told_init(&first);
    told_init(&second);
    everything in = {lock_on("async-c/all", 0, 30), &first, &second};
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(in.lock, inside, &in, &error));
    is_told(&first, CONSUL_LOCK_CANCELLED);
    is_told(&second, CONSUL_LOCK_OK);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
