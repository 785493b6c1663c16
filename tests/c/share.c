/* Locks that share their key, with a limit and without, and the way from one mode to the other. */
#include "check.h"

#include <pthread.h>

/* A lock that shares its key, at most `limit` at once (0: no limit). */
static consul_lock *share_of(const char *key, int64_t limit, int64_t wait_ms)
{
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set(options, "mode", "share", NULL);
    if (limit > 0) {
        consul_lock_options_set_int(options, "limit", limit, NULL);
    }
    consul_lock_options_set_int(options, "acquire_timeout_ms", wait_ms, NULL);
    consul_lock_options_set_int(options, "lock_timeout_seconds", 30, NULL);
    consul_lock *lock = consul_lock_new(key, options, NULL);
    consul_lock_options_free(options);
    CHECK(lock != NULL);
    return lock;
}

static consul_lock *held(consul_lock *lock)
{
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    return lock;
}

/* Ends a lock that did not get its key. */
static void refused(consul_lock *lock)
{
    EXPECT(CONSUL_LOCK_NOT_ACQUIRED, consul_lock_acquire(lock, &error));
    consul_lock_free(lock);
}

static void released(consul_lock *lock)
{
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    consul_lock_free(lock);
}

static void readers_share_and_a_writer_does_not(void)
{
    consul_lock *one = held(share_of("share/rw", 0, 0));
    consul_lock *two = held(share_of("share/rw", 0, 0));
    CHECK(consul_lock_is_held(one) && consul_lock_is_held(two));
    CHECK(consul_lock_slot(one) == -1 && consul_lock_slot(two) == -1);
    CHECK(consul_lock_fencing_token(two) > consul_lock_fencing_token(one));
    EXPECT(CONSUL_LOCK_OK, consul_lock_check(one, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_renew(one, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_put_if_held(one, "share/data", "v", 1, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_delete_if_held(one, "share/data", &error));
    refused(lock_on("share/rw", 0, 30));
    released(one);
    refused(lock_on("share/rw", 0, 30));
    uint64_t token = consul_lock_fencing_token(two);
    released(two);
    consul_lock *writer = held(lock_on("share/rw", 0, 30));
    CHECK(consul_lock_fencing_token(writer) > token);
    refused(share_of("share/rw", 0, 0));
    released(writer);
}

static void a_limit_holds_and_numbers_its_holders(void)
{
    consul_lock *one = held(share_of("share/limit", 2, 0));
    consul_lock *two = held(share_of("share/limit", 2, 0));
    CHECK(consul_lock_slot(one) + consul_lock_slot(two) == 1);
    CHECK(consul_lock_slot(one) != consul_lock_slot(two));
    refused(share_of("share/limit", 2, 0));
    consul_lock *never = share_of("share/limit", 2, 0);
    CHECK(consul_lock_slot(never) == -1);
    consul_lock_free(never);
    int32_t slot = consul_lock_slot(one);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(one, &error));
    CHECK(consul_lock_slot(one) == slot); /* also when the lock is over */
    consul_lock_free(one);
    consul_lock *next = held(share_of("share/limit", 2, 0));
    CHECK(consul_lock_slot(next) == slot);
    released(next);
    released(two);
}

static void two_limits_are_a_conflict(void)
{
    consul_lock *one = held(share_of("share/conflict", 3, 0));
    consul_lock *other = share_of("share/conflict", 5, 0);
    consul_lock_error *error = NULL;
    CHECK(consul_lock_acquire(other, &error) == CONSUL_LOCK_CONFLICT);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_CONFLICT);
    CHECK(strstr(consul_lock_error_message(error), "3") != NULL);
    CHECK(strstr(consul_lock_error_message(error), "5") != NULL);
    CHECK(strstr(consul_lock_error_message(error), "share/conflict") != NULL);
    CHECK(strcmp(consul_lock_status_name(CONSUL_LOCK_CONFLICT), "CONFLICT") == 0);
    consul_lock_error_free(error);
    consul_lock_free(other);
    released(one);
}

struct upgrade {
    consul_lock *lock;
    int64_t timeout_ms;
    consul_lock_status status;
};

static void *upgrade_it(void *data)
{
    struct upgrade *upgrade = data;
    upgrade->status = consul_lock_upgrade(upgrade->lock, upgrade->timeout_ms, NULL);
    return NULL;
}

static void down_and_up_without_a_gap(void)
{
    consul_lock *lock = lock_on("share/turn", 0, 30);
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_downgrade(lock, &error));
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_upgrade(lock, 0, &error));
    held(lock);
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_upgrade(lock, 0, &error));
    uint64_t token = consul_lock_fencing_token(lock);
    EXPECT(CONSUL_LOCK_OK, consul_lock_downgrade(lock, &error));
    CHECK(consul_lock_fencing_token(lock) > token && consul_lock_is_held(lock));
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_downgrade(lock, &error));
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_upgrade(lock, -2, &error));
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_upgrade(lock, 86400001, &error));

    consul_lock *other = held(share_of("share/turn", 0, 0));
    EXPECT(CONSUL_LOCK_NOT_ACQUIRED, consul_lock_upgrade(lock, 0, &error));
    CHECK(consul_lock_is_held(lock));
    int64_t begun = now_ms();
    EXPECT(CONSUL_LOCK_NOT_ACQUIRED, consul_lock_upgrade(lock, 300, &error));
    CHECK(now_ms() - begun >= 290 && now_ms() - begun < 9000);
    EXPECT(CONSUL_LOCK_OK, consul_lock_check(lock, &error));

    /* A wait ends with a cancel, and with the end of the other share. */
    struct upgrade upgrade = {lock, -1, CONSUL_LOCK_INTERNAL};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, upgrade_it, &upgrade) == 0);
    pause_ms(300);
    /* Two that upgrade would wait for each other. */
    EXPECT(CONSUL_LOCK_NOT_ACQUIRED, consul_lock_upgrade(other, -1, &error));
    CHECK(consul_lock_is_held(other));
    consul_lock_cancel(lock);
    pthread_join(thread, NULL);
    CHECK(upgrade.status == CONSUL_LOCK_CANCELLED && consul_lock_is_held(lock));
    EXPECT(CONSUL_LOCK_OK, consul_lock_check(lock, &error));
    token = consul_lock_fencing_token(lock);
    CHECK(pthread_create(&thread, NULL, upgrade_it, &upgrade) == 0);
    pause_ms(300);
    refused(share_of("share/turn", 0, 0)); /* none enters any more */
    released(other);
    pthread_join(thread, NULL);
    CHECK(upgrade.status == CONSUL_LOCK_OK && consul_lock_fencing_token(lock) > token);
    refused(share_of("share/turn", 0, 0));
    released(lock);
}

static void a_downgrade_goes_to_the_limit(void)
{
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set(options, "mode", "exclusive", NULL);
    consul_lock_options_set_int(options, "limit", 2, NULL);
    consul_lock_options_set_int(options, "lock_timeout_seconds", 30, NULL);
    consul_lock *lock = consul_lock_new("share/down", options, NULL);
    consul_lock_options_free(options);
    held(lock);
    CHECK(consul_lock_slot(lock) == -1);
    EXPECT(CONSUL_LOCK_OK, consul_lock_downgrade(lock, &error));
    CHECK(consul_lock_slot(lock) == 0 || consul_lock_slot(lock) == 1);
    consul_lock *two = held(share_of("share/down", 2, 0));
    CHECK(consul_lock_slot(two) == 1 - consul_lock_slot(lock));
    refused(share_of("share/down", 2, 0));
    released(two);
    EXPECT(CONSUL_LOCK_OK, consul_lock_upgrade(lock, 0, &error));
    CHECK(consul_lock_slot(lock) == -1);
    released(lock);
}

static int too_long(consul_lock_value *value, void *user_data)
{
    (void)user_data;
    char bytes[CONSUL_LOCK_MAX_SHARED_VALUE + 1] = {0};
    return (int)consul_lock_value_set(value, bytes, sizeof bytes);
}

static void options_and_values(void)
{
    consul_lock_options *options = consul_lock_options_new();
    EXPECT(CONSUL_LOCK_INVALID_OPTION, consul_lock_options_set(options, "mode", "both", &error));
    consul_lock_options_free(options);
    options = consul_lock_options_new();
    EXPECT(CONSUL_LOCK_INVALID_OPTION, consul_lock_options_set_int(options, "limit", 0, &error));
    consul_lock_options_free(options);
    options = consul_lock_options_new();
    EXPECT(CONSUL_LOCK_INVALID_OPTION, consul_lock_options_set_int(options, "limit", 1025, &error));
    consul_lock_options_free(options);

    char value[CONSUL_LOCK_MAX_SHARED_VALUE + 1] = {0};
    consul_lock *lock = share_of("share/value", 0, 0);
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_set_value(lock, value, sizeof value, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_value(lock, value, sizeof value - 1, &error));
    released(held(lock));

    /* A generator whose value is too long does not use the lock up. */
    consul_lock_set_value_generator(too_long, NULL, NULL);
    lock = share_of("share/value", 0, 0);
    EXPECT(CONSUL_LOCK_VALUE_FAILED, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_value(lock, "v", 1, &error));
    released(held(lock));
    /* A downgrade stores no value that is too long. */
    lock = held(lock_on("share/value", 0, 30));
    EXPECT(CONSUL_LOCK_OK, consul_lock_downgrade(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_upgrade(lock, 0, &error));
    consul_lock_holder_info *holder = NULL;
    EXPECT(CONSUL_LOCK_OK, consul_lock_holder(NULL, "share/value", &holder, &error));
    CHECK(consul_lock_holder_value(holder, NULL, 0) == sizeof value);
    consul_lock_holder_free(holder);
    released(lock);
    consul_lock_set_value_generator(NULL, NULL, NULL);
}

/* What another thread was told of an upgrade. */
struct told {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int times;
    consul_lock_status status;
};

static void done(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    struct told *told = user_data;
    consul_lock_error_free(error);
    pthread_mutex_lock(&told->mutex);
    told->status = status;
    told->times++;
    pthread_cond_signal(&told->changed);
    pthread_mutex_unlock(&told->mutex);
}

static consul_lock_status outcome(struct told *told)
{
    pthread_mutex_lock(&told->mutex);
    while (told->times == 0) {
        pthread_cond_wait(&told->changed, &told->mutex);
    }
    told->times = 0;
    pthread_mutex_unlock(&told->mutex);
    return told->status;
}

static void without_waiting(void)
{
    struct told told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, CONSUL_LOCK_OK};
    consul_lock *lock = held(lock_on("share/start", 0, 30));
    EXPECT(CONSUL_LOCK_OK, consul_lock_upgrade_start(lock, 0, done, &told, &error));
    CHECK(outcome(&told) == CONSUL_LOCK_INVALID_ARGUMENT); /* exclusive already */
    EXPECT(CONSUL_LOCK_OK, consul_lock_downgrade_start(lock, done, &told, &error));
    CHECK(outcome(&told) == CONSUL_LOCK_OK);
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_upgrade_start(lock, -2, done, &told, &error));
    consul_lock *other = held(share_of("share/start", 0, 0));
    EXPECT(CONSUL_LOCK_OK, consul_lock_upgrade_start(lock, -1, done, &told, &error));
    released(other);
    CHECK(outcome(&told) == CONSUL_LOCK_OK);
    EXPECT(CONSUL_LOCK_OK, consul_lock_downgrade(lock, &error));

    /* A cancel also counts before the wait has begun. */
    other = held(share_of("share/start", 0, 0));
    EXPECT(CONSUL_LOCK_OK, consul_lock_upgrade_start(lock, -1, done, &told, &error));
    consul_lock_cancel(lock);
    CHECK(outcome(&told) == CONSUL_LOCK_CANCELLED && consul_lock_is_held(lock));
    released(other);

    consul_lock_free(lock);

    /* A lock that is freed while its upgrade waits, or a little before. */
    for (long ms = 0; ms < 60; ms += 2) {
        other = held(share_of("share/start", 0, 0));
        lock = held(share_of("share/start", 0, 0));
        EXPECT(CONSUL_LOCK_OK, consul_lock_upgrade_start(lock, -1, done, &told, &error));
        pause_ms(ms);
        consul_lock_free(lock);
        CHECK(outcome(&told) == CONSUL_LOCK_NOT_HELD);
        released(other);
    }
}

int main(void)
{
    alarm(120); /* a deadlock is a failure, not a hang */
    readers_share_and_a_writer_does_not();
    a_limit_holds_and_numbers_its_holders();
    two_limits_are_a_conflict();
    down_and_up_without_a_gap();
    a_downgrade_goes_to_the_limit();
    options_and_values();
    without_waiting();
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
