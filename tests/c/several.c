/* Locks on several keys: all or none, in any order of the keys, released as a whole. */
#include "check.h"

#include <pthread.h>

static consul_lock *lock_all(const char *const *keys, size_t n, int64_t wait_ms)
{
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set_int(options, "acquire_timeout_ms", wait_ms, NULL);
    consul_lock_options_set_int(options, "lock_timeout_seconds", 30, NULL);
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new_all(keys, n, options, &error);
    consul_lock_options_free(options);
    if (lock == NULL) {
        fprintf(stderr, "consul_lock_new_all: %s\n", consul_lock_error_message(error));
        exit(1);
    }
    return lock;
}

/* No lock is made of these keys, and the reason contains a word. */
static void refused(const char *const *keys, size_t n, const char *word)
{
    consul_lock_error *error = NULL;
    CHECK(consul_lock_new_all(keys, n, NULL, &error) == NULL);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_INVALID_ARGUMENT);
    if (strstr(consul_lock_error_message(error), word) == NULL) {
        fprintf(stderr, "\"%s\" lacks \"%s\"\n", consul_lock_error_message(error), word);
        exit(1);
    }
    consul_lock_error_free(error);
}

static void what_is_refused(void)
{
    const char *const hole[] = {"several/a", NULL};
    const char *const empty[] = {"several/a", ""};
    const char *const broken[] = {"several/a", "\xff"};
    refused(NULL, 2, "keys is NULL");
    refused(hole, 0, "0 keys");
    refused(hole, 2, "keys[1] is NULL");
    refused(empty, 2, "empty");
    refused(broken, 2, "keys[1] is not UTF-8");
    refused(hole, SIZE_MAX, "memory");

    const char *many[CONSUL_LOCK_MAX_KEYS + 2];
    char names[CONSUL_LOCK_MAX_KEYS + 2][24];
    for (size_t i = 0; i < CONSUL_LOCK_MAX_KEYS + 2; i++) {
        snprintf(names[i], sizeof names[i], "several/%zu", i % (CONSUL_LOCK_MAX_KEYS + 1));
        many[i] = names[i];
    }
    refused(many, CONSUL_LOCK_MAX_KEYS + 1, "31 keys");
    /* A key that comes twice counts once. */
    consul_lock *lock = lock_all(many + 2, CONSUL_LOCK_MAX_KEYS, 0);
    CHECK(consul_lock_keys_count(lock) == CONSUL_LOCK_MAX_KEYS);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    consul_lock_free(lock);

    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set(options, "mode", "share", NULL);
    consul_lock_error *error = NULL;
    CHECK(consul_lock_new_all(many, 2, options, &error) == NULL);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_INVALID_OPTION);
    consul_lock_error_free(error);
    lock = consul_lock_new_all(many, 1, options, NULL); /* one key can be shared */
    CHECK(lock != NULL);
    consul_lock_free(lock);
    consul_lock_options_free(options);
}

static void all_or_none(void)
{
    const char *const keys[] = {"several/c", "several/a", "several/b", "several/a"};
    consul_lock *lock = lock_all(keys, 4, 0);
    char text[64];
    CHECK(consul_lock_keys_count(lock) == 3);
    CHECK(consul_lock_key(lock, text, sizeof text) == strlen("locks/ephemeral/several/a"));
    CHECK(strcmp(text, "locks/ephemeral/several/a") == 0);
    for (size_t i = 0; i < 3; i++) {
        char wanted[] = "locks/ephemeral/several/?";
        wanted[sizeof wanted - 2] = (char)('a' + i);
        CHECK(consul_lock_key_at(lock, i, text, sizeof text) == strlen(wanted));
        CHECK(strcmp(text, wanted) == 0);
    }
    CHECK(consul_lock_key_at(lock, 3, text, sizeof text) == 0 && *text == '\0');
    CHECK(consul_lock_key_at(lock, SIZE_MAX, NULL, 0) == 0);

    consul_lock *one = lock_on("several/b", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(one, &error));
    EXPECT(CONSUL_LOCK_NOT_ACQUIRED, consul_lock_acquire(lock, &error));
    CHECK(!is_taken("several/a") && !is_taken("several/c"));
    consul_lock_free(lock);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(one, &error));
    consul_lock_free(one);

    lock = lock_all(keys, 4, 0);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    CHECK(consul_lock_is_held(lock) && consul_lock_fencing_token(lock) > 0);
    CHECK(is_taken("several/a") && is_taken("several/b") && is_taken("several/c"));
    CHECK(consul_lock_slot(lock) == -1);
    EXPECT(CONSUL_LOCK_OK, consul_lock_check(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_renew(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_put_if_held(lock, "several/data", "v", 1, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_delete_if_held(lock, "several/data", &error));
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, /* its own key */
           consul_lock_delete_if_held(lock, "locks/ephemeral/several/c", &error));
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_downgrade(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    CHECK(!is_taken("several/a") && !is_taken("several/b") && !is_taken("several/c"));
    consul_lock_free(lock);
}

/* Takes {x, y} or {y, x} again and again. */
struct worker {
    const char *keys[2];
    int *inside;
    int rounds;
};

static void *work(void *data)
{
    struct worker *worker = data;
    for (int round = 0; round < worker->rounds; round++) {
        consul_lock *lock = lock_all(worker->keys, 2, -1);
        EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
        CHECK(++*worker->inside == 1);
        pause_ms(1);
        CHECK(--*worker->inside == 0);
        EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
        consul_lock_free(lock);
    }
    return NULL;
}

static void opposite_orders_do_not_deadlock(void)
{
    int inside = 0;
    struct worker workers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        const bool turned = i % 2 == 1;
        workers[i] = (struct worker){
            {turned ? "several/y" : "several/x", turned ? "several/x" : "several/y"}, &inside, 10};
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(inside == 0);
}

int main(void)
{
    alarm(120); /* a deadlock is a failure, not a hang */
    what_is_refused();
    all_or_none();
    opposite_orders_do_not_deadlock();
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
