/* Guarded writes, and the notice of a loss. */
#include "check.h"

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

struct told {
    pthread_t caller;
    int calls, frees;
    consul_lock_lost_reason reason;
    bool elsewhere, held;
    consul_lock *lock;
};

static void lost(consul_lock_lost_reason reason, void *user_data)
{
    struct told *told = user_data;
    bool held = consul_lock_is_held(told->lock);
    pthread_mutex_lock(&mutex);
    told->calls++;
    told->reason = reason;
    told->held = held;
    told->elsewhere = !pthread_equal(told->caller, pthread_self());
    pthread_mutex_unlock(&mutex);
}

static void freed(void *user_data)
{
    struct told *told = user_data;
    pthread_mutex_lock(&mutex);
    told->frees++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void wait_until_freed(struct told *told)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    pthread_mutex_lock(&mutex);
    while (told->frees == 0) {
        CHECK(pthread_cond_timedwait(&changed, &mutex, &limit) == 0);
    }
    pthread_mutex_unlock(&mutex);
}

static void writing(void)
{
    consul_lock *lock = lock_on("lost/write", 0, 30);
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_put_if_held(lock, "c/data", "v", 1, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_put_if_held(lock, "c/data", "v", 1, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_put_if_held(lock, "c/data", NULL, 0, &error));
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_put_if_held(lock, "c//data", "v", 1, &error));
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT,
           consul_lock_put_if_held(lock, "c/data", "v", CONSUL_LOCK_MAX_VALUE + 1, &error));
    EXPECT(CONSUL_LOCK_INVALID_ARGUMENT, consul_lock_put_if_held(lock, "c/data", "v", -1, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_delete_if_held(lock, "c/data", &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_delete_if_held(lock, "c/data", &error));
    consul_lock_free(lock);
}

static void losing(void)
{
    consul_lock *first = lock_on("lost/first", 0, 30);
    consul_lock *second = lock_on("lost/second", 0, 30);
    struct told replaced = {.caller = pthread_self(), .lock = second};
    struct told told = {.caller = pthread_self(), .lock = second};
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(first, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_lost_callback(second, lost, &replaced, freed, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(second, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_lost_callback(second, lost, &told, freed, &error));
    wait_until_freed(&replaced);
    CHECK(replaced.calls == 0);

    /* A program that may write the key can take the lock away: here, this one. */
    EXPECT(CONSUL_LOCK_OK,
           consul_lock_delete_if_held(first, "locks/ephemeral/lost/second", &error));
    CHECK(consul_lock_why_lost(second) == 0);
    consul_lock_error *error = NULL;
    CHECK(consul_lock_put_if_held(second, "c/data", "v", 1, &error) == CONSUL_LOCK_LOST);
    CHECK(consul_lock_error_why_lost(error) == CONSUL_LOCK_LOST_REASON_KEY_GONE);
    consul_lock_error_free(error);
    CHECK(consul_lock_why_lost(second) == CONSUL_LOCK_LOST_REASON_KEY_GONE);
    CHECK(!strcmp(consul_lock_lost_reason_name(consul_lock_why_lost(second)), "KEY_GONE"));
    CHECK(!strcmp(consul_lock_lost_reason_name(0), "UNKNOWN"));
    wait_until_freed(&told);
    CHECK(told.calls == 1 && told.frees == 1 && told.elsewhere && !told.held);
    CHECK(told.reason == CONSUL_LOCK_LOST_REASON_KEY_GONE);

    /* A notice that is set after the loss comes at once. */
    struct told late = {.caller = pthread_self(), .lock = second};
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_lost_callback(second, lost, &late, freed, &error));
    wait_until_freed(&late);
    CHECK(late.calls == 1 && late.reason == CONSUL_LOCK_LOST_REASON_KEY_GONE);
    consul_lock_free(second);

    /* A released lock is not lost. */
    struct told never = {.caller = pthread_self(), .lock = first};
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_lost_callback(first, lost, &never, freed, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(first, &error));
    CHECK(consul_lock_why_lost(first) == 0);
    consul_lock_free(first);
    wait_until_freed(&never);
    CHECK(never.calls == 0 && never.frees == 1);

    /* Without a function, the call frees its data. */
    consul_lock *third = lock_on("lost/third", 0, 30);
    struct told none = {.caller = pthread_self()};
    EXPECT(CONSUL_LOCK_OK, consul_lock_set_lost_callback(third, NULL, &none, freed, &error));
    CHECK(none.frees == 1);
    consul_lock_free(third);
}

int main(void)
{
    writing();
    losing();
    CHECK(consul_lock_shutdown(5000, NULL) == CONSUL_LOCK_OK);
    return 0;
}
