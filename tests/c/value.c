/* The value under the key: a fixed one, one of a generator, the default. */
#include "check.h"

static int freed;
static int calls;

static void count_free(void *user_data)
{
    CHECK(user_data == &calls);
    freed++;
}

static int made(consul_lock_value *value, void *user_data)
{
    CHECK(user_data == &calls);
    calls++;
    CHECK(consul_lock_value_set(value, NULL, 1) == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(consul_lock_value_set(value, "x", CONSUL_LOCK_MAX_VALUE + 1) ==
          CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(consul_lock_value_set(value, "a\0b", 3) == CONSUL_LOCK_OK);
    return 0;
}

static int none(consul_lock_value *value, void *user_data)
{
    (void)value;
    (void)user_data;
    return 1;
}

/* The value that Consul has under the key of a held lock. */
static size_t stored(const char *key, char *buf, size_t cap)
{
    consul_lock_holder_info *holder = NULL;
    EXPECT(CONSUL_LOCK_OK, consul_lock_holder(NULL, key, &holder, &error));
    CHECK(holder != NULL && consul_lock_holder_fencing_token(holder) > 0);
    char text[256];
    CHECK(consul_lock_holder_session(holder, NULL, 0) == 36);
    CHECK(consul_lock_holder_session(holder, text, 5) == 36 && strlen(text) == 4);
    CHECK(consul_lock_holder_name(holder, NULL, 0) > 0);
    CHECK(consul_lock_holder_name(holder, text, sizeof text) == strlen(text));
    CHECK(strncmp(text, "consul_lock ", 12) == 0);
    CHECK(consul_lock_holder_node(holder, NULL, 0) > 0);
    CHECK(consul_lock_holder_node(holder, text, sizeof text) == strlen(text));
    size_t len = consul_lock_holder_value(holder, NULL, 0);
    CHECK(len <= cap && consul_lock_holder_value(holder, buf, cap) == len);
    consul_lock_holder_free(holder);
    return len;
}

static consul_lock *held(const char *key, const char *value, size_t len)
{
    consul_lock_options *options = consul_lock_options_new();
    if (value != NULL) {
        EXPECT(CONSUL_LOCK_OK, consul_lock_options_set_bytes(options, "value", value, len, &error));
    }
    consul_lock *lock = consul_lock_new(key, options, NULL);
    consul_lock_options_free(options);
    CHECK(lock != NULL);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    return lock;
}

int main(void)
{
    char buf[256];

    consul_lock *lock = held("value/fixed", "\0\xff", 2);
    CHECK(stored("value/fixed", buf, sizeof buf) == 2 && memcmp(buf, "\0\xff", 2) == 0);
    consul_lock_free(lock);

    lock = held("value/default", NULL, 0);
    size_t len = stored("value/default", buf, sizeof buf - 1);
    buf[len] = '\0';
    CHECK(buf[0] == '{' && strstr(buf, "\"locked_at\"") != NULL);
    consul_lock_free(lock);

    consul_lock_set_value_generator(made, &calls, count_free);
    lock = held("value/made", NULL, 0);
    CHECK(calls == 1);
    CHECK(stored("value/made", buf, sizeof buf) == 3 && memcmp(buf, "a\0b", 3) == 0);
    consul_lock_free(lock);
    lock = held("value/made", "own", 3); /* a fixed value wins */
    CHECK(calls == 1);
    consul_lock_free(lock);

    /* A lock that exists keeps its generator, whose data lives as long. */
    lock = consul_lock_new("value/old", NULL, NULL);
    consul_lock_set_value_generator(none, NULL, NULL);
    CHECK(freed == 0);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    CHECK(calls == 2);
    consul_lock_free(lock);
    CHECK(freed == 1);

    /* No value: nothing is sent, and the lock is not used up. */
    lock = consul_lock_new("value/none", NULL, NULL);
    EXPECT(CONSUL_LOCK_VALUE_FAILED, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_VALUE_FAILED, consul_lock_acquire(lock, &error));
    CHECK(!is_taken("value/none"));
    consul_lock_free(lock);

    consul_lock_set_value_generator(NULL, &calls, count_free);
    CHECK(freed == 2);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
