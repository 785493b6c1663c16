/*
 * What tests/c/caller.c is made of: seeded numbers, a count of the calls of each function, objects
 * that threads share until one of them closes the object, and user data that must be freed exactly
 * once.
 */
#ifndef CALLER_H
#define CALLER_H

#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- Numbers ---- */

/* Of one thread. */
struct numbers {
    uint64_t state;
};

static uint64_t any(struct numbers *numbers)
{
    uint64_t z = (numbers->state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static uint64_t below(struct numbers *numbers, uint64_t bound)
{
    return any(numbers) % bound;
}

static bool one_in(struct numbers *numbers, uint64_t bound)
{
    return below(numbers, bound) == 0;
}

#define ONE_OF(numbers, array) ((array)[below((numbers), sizeof(array) / sizeof *(array))])

/* ---- Calls ---- */

/* A place that calls a function of the library. */
struct site {
    const char *name;
    atomic_ulong calls;
    struct site *next;
};

static _Atomic(struct site *) sites;

static void called(struct site *site)
{
    if (atomic_fetch_add(&site->calls, 1) == 0) {
        site->next = atomic_load(&sites);
        while (!atomic_compare_exchange_weak(&sites, &site->next, site)) {
        }
    }
}

/* The function, and one more call of it. tests/all/caller.rs finds every function of the header so.
 */
#define CALL(function)                                                                             \
    (*({                                                                                           \
        static struct site site = {#function, 0, NULL};                                            \
        called(&site);                                                                             \
        &(function);                                                                               \
    }))

/* ---- Objects ---- */

/* An object that threads share. */
struct shared {
    void *object;
    /* The calls that use the object. */
    int users;
    /* Of a queue: the end to read from. */
    int32_t fd;
};

enum kind {
    LOCKS,
    OF_LOCKS,
    OF_CLIENTS,
    CLIENTS,
    ERRORS,
    HOLDERS,
    ALL_HOLDERS,
    OBSERVERS,
    QUEUES,
    KINDS
};
enum { MOST = 12 };

static struct shared pool[KINDS][MOST];
static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;

/* The process is a child of the one that began. */
static bool is_child;

/* Borrows an object, or gives NULL: there is none in that place. The borrower gives it back. */
static struct shared *borrow(struct numbers *numbers, enum kind kind)
{
    if (one_in(numbers, 24)) {
        return NULL;
    }
    struct shared *found = NULL;
    pthread_mutex_lock(&pool_mutex);
    for (int tries = 0; tries < 3 && found == NULL; tries++) {
        struct shared *shared = &pool[kind][below(numbers, MOST)];
        if (shared->object != NULL && shared->users >= 0) {
            shared->users++;
            found = shared;
        }
    }
    pthread_mutex_unlock(&pool_mutex);
    return found;
}

static void *object_of(struct shared *shared)
{
    return shared == NULL ? NULL : shared->object;
}

static void give_back(struct shared *shared)
{
    if (shared != NULL) {
        pthread_mutex_lock(&pool_mutex);
        shared->users--;
        pthread_mutex_unlock(&pool_mutex);
    }
}

/* Puts an object into the pool. False: there is no place, and the caller keeps the object. */
static bool put(struct numbers *numbers, enum kind kind, void *object, int32_t fd)
{
    bool fits = false;
    pthread_mutex_lock(&pool_mutex);
    struct shared *shared = &pool[kind][below(numbers, MOST)];
    if (shared->object == NULL && shared->users == 0 && object != NULL) {
        *shared = (struct shared){object, 0, fd};
        fits = true;
    }
    pthread_mutex_unlock(&pool_mutex);
    return fits;
}

/* Takes an object out of the pool that no call uses. The caller frees it. */
static void *take_from(struct shared *shared, int32_t *fd)
{
    pthread_mutex_lock(&pool_mutex);
    void *object = shared->users == 0 ? shared->object : NULL;
    if (object != NULL) {
        *fd = shared->fd;
        shared->object = NULL;
    }
    pthread_mutex_unlock(&pool_mutex);
    return object;
}

static void *take(struct numbers *numbers, enum kind kind, int32_t *fd)
{
    return take_from(&pool[kind][below(numbers, MOST)], fd);
}

/* ---- User data ---- */

static atomic_long data_made, data_freed, begun, ended;

/* What a callback gets; whatever frees it twice, or reads it afterwards, is seen by the sanitizers.
 */
struct data {
    uint64_t sign;
    uint64_t number;
};

enum { SIGN = 0x600dda7a };

static struct data *new_data(struct numbers *numbers)
{
    struct data *data = malloc(sizeof *data);
    CHECK(data != NULL);
    *data = (struct data){SIGN, any(numbers)};
    atomic_fetch_add(&data_made, 1);
    return data;
}

static void free_data(void *user_data)
{
    struct data *data = user_data;
    CHECK(data->sign == SIGN);
    data->sign = 0;
    free(data);
    atomic_fetch_add(&data_freed, 1);
}

#endif
