/*
 * Of tests/c/caller.c: what it does with the outcomes of calls, also in callbacks.
 */
#ifndef CALLER_OUTCOMES_H
#define CALLER_OUTCOMES_H

#include "caller.h"

typedef struct numbers N;

static const char *const KEYS[] = {"caller/0", "caller/1", "caller/2", "caller/3"};
static const char *const ODD_KEYS[] = {NULL,        "",     "/a",  "a//b",
                                       "a/.fifo/0", "\xff", "a\n", "caller/\xc3\xa4"};

static const char *a_key(N *n)
{
    return one_in(n, 12) ? ONE_OF(n, ODD_KEYS) : ONE_OF(n, KEYS);
}

/* Where a call puts its error: nowhere, now and then. */
static consul_lock_error **into(N *n, consul_lock_error **error)
{
    return one_in(n, 5) ? NULL : error;
}

static void read_error(N *n, const consul_lock_error *error)
{
    (void)CALL(consul_lock_error_code)(error);
    CHECK(CALL(consul_lock_error_message)(error) != NULL);
    (void)CALL(consul_lock_error_http_status)(error);
    (void)CALL(consul_lock_error_is_retryable)(error);
    (void)CALL(consul_lock_lost_reason_name)(CALL(consul_lock_error_why_lost)(error));
    if (one_in(n, 8)) {
        CHECK(strchr(consul_lock_error_message(error), '\n') == NULL);
    }
}

static void told(N *n, consul_lock_status status, consul_lock_error *error)
{
    CHECK(strcmp(CALL(consul_lock_status_name)((int32_t)status), "UNKNOWN") != 0);
    if (status == CONSUL_LOCK_INTERNAL) {
        fprintf(stderr, "a defect: %s\n", consul_lock_error_message(error));
        exit(1);
    }
    CHECK(error == NULL || consul_lock_error_code(error) == status);
    CHECK(status != CONSUL_LOCK_OK || error == NULL);
    if (error != NULL) {
        read_error(n, error);
        if (!put(n, ERRORS, error, -1)) {
            CALL(consul_lock_error_free)(error);
        }
    }
}

/* A call that returns a status and takes an error as its last argument. */
#define TRY(n, function, ...)                                                                      \
    do {                                                                                           \
        consul_lock_error *error = NULL;                                                           \
        consul_lock_status status = CALL(function)(__VA_ARGS__, into((n), &error));                \
        told((n), status, error);                                                                  \
    } while (0)

/* A call that copies a text: it keeps to its room. */
#define COPY(n, function, ...)                                                                     \
    do {                                                                                           \
        char buf[80];                                                                              \
        memset(buf, 'x', sizeof buf);                                                              \
        size_t cap = below((n), sizeof buf);                                                       \
        size_t whole = CALL(function)(__VA_ARGS__, one_in((n), 9) ? NULL : buf, cap);              \
        for (size_t at = cap; at < sizeof buf; at++) {                                             \
            CHECK(buf[at] == 'x');                                                                 \
        }                                                                                          \
        CHECK(whole < 1 << 20);                                                                    \
    } while (0)

/* ---- Callbacks ---- */

static void look_at_a_lock(N *n);

/* What a callback does besides: calls that do not wait. */
static void in_a_callback(const struct data *data)
{
    CHECK(data->sign == SIGN);
    N n = {data->number};
    if (one_in(&n, 3)) {
        look_at_a_lock(&n);
    }
    if (one_in(&n, 6)) {
        struct shared *lock = borrow(&n, LOCKS);
        CALL(consul_lock_cancel)(object_of(lock));
        give_back(lock);
    }
}

static void done(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    struct data *data = user_data;
    in_a_callback(data);
    N n = {data->number};
    told(&n, status, error);
    free_data(data);
    atomic_fetch_add(&ended, 1);
}

static void read_holder(N *n, const consul_lock_holder_info *holder)
{
    COPY(n, consul_lock_holder_session, holder);
    COPY(n, consul_lock_holder_name, holder);
    COPY(n, consul_lock_holder_node, holder);
    (void)CALL(consul_lock_holder_fencing_token)(holder);
    (void)CALL(consul_lock_holder_since_ms)(holder);
    (void)CALL(consul_lock_holder_ttl_ms)(holder);
    COPY(n, consul_lock_holder_value, holder);
}

static void keep_holder(N *n, consul_lock_holder_info *holder)
{
    read_holder(n, holder);
    if (!put(n, HOLDERS, holder, -1)) {
        CALL(consul_lock_holder_free)(holder);
    }
}

static void read_holders(N *n, const consul_lock_holders_info *holders)
{
    size_t count = CALL(consul_lock_holders_count)(holders);
    size_t index = below(n, count + 2);
    (void)CALL(consul_lock_holders_role)(holders, index);
    (void)CALL(consul_lock_holders_limit)(holders, index);
    (void)CALL(consul_lock_holders_slot)(holders, index);
    size_t keys = CALL(consul_lock_holders_key_count)(holders, index);
    COPY(n, consul_lock_holders_key, holders, index, below(n, keys + 1));
    COPY(n, consul_lock_holders_json, holders);
    const consul_lock_holder_info *one = CALL(consul_lock_holders_get)(holders, index);
    CHECK((one != NULL) == (index < count));
    read_holder(n, one);
}

static void keep_holders(N *n, consul_lock_holders_info *holders)
{
    read_holders(n, holders);
    if (!put(n, ALL_HOLDERS, holders, -1)) {
        CALL(consul_lock_holders_free)(holders);
    }
}

static void holder_done(consul_lock_status status, consul_lock_holder_info *holder,
                        consul_lock_error *error, void *user_data)
{
    N n = {((struct data *)user_data)->number};
    keep_holder(&n, holder);
    done(status, error, user_data);
}

static void holders_done(consul_lock_status status, consul_lock_holders_info *holders,
                         consul_lock_error *error, void *user_data)
{
    N n = {((struct data *)user_data)->number};
    keep_holders(&n, holders);
    done(status, error, user_data);
}

static void observed(consul_lock_status status, consul_lock_holder_info *holder,
                     consul_lock_error *error, void *user_data)
{
    in_a_callback(user_data);
    N n = {((struct data *)user_data)->number};
    keep_holder(&n, holder);
    told(&n, status, error);
}

static void lost(consul_lock_lost_reason reason, void *user_data)
{
    CHECK(strcmp(CALL(consul_lock_lost_reason_name)((int32_t)reason), "UNKNOWN") != 0);
    in_a_callback(user_data);
}

static void log_line(consul_lock_log_level level, const char *line, void *user_data)
{
    CHECK(level >= 1 && level <= 4 && strchr(line, '\n') == NULL);
    in_a_callback(user_data);
}

static int generate(consul_lock_value *value, void *user_data)
{
    const struct data *data = user_data;
    CHECK(data->sign == SIGN);
    CHECK(CALL(consul_lock_value_set)(value, "generated", 9) == CONSUL_LOCK_OK);
    CHECK(consul_lock_value_set(NULL, "x", 1) == CONSUL_LOCK_INVALID_ARGUMENT);
    return data->number % 7 == 0;
}

/* ---- Calls that do not wait ---- */

/* How the outcome comes: to a callback with user data, or into a queue by a sender. */
struct way {
    consul_lock_sender *sender;
    struct data *data;
};

static struct way a_way(N *n)
{
    struct way way = {NULL, NULL};
    struct shared *queue = one_in(n, 2) ? borrow(n, QUEUES) : NULL;
    if (queue != NULL) {
        way.sender = CALL(consul_lock_sender_new)(queue->object, any(n));
        give_back(queue);
    }
    if (way.sender == NULL) {
        way.data = new_data(n);
        atomic_fetch_add(&begun, 1);
    }
    return way;
}

static void after(N *n, struct way way, consul_lock_status status, consul_lock_error *error)
{
    /* The call that fails leaves the user data with its caller. */
    if (status != CONSUL_LOCK_OK && way.sender != NULL) {
        CALL(consul_lock_sender_free)(way.sender);
    }
    if (status != CONSUL_LOCK_OK && way.data != NULL) {
        free_data(way.data);
        atomic_fetch_add(&ended, 1);
    }
    told(n, status, error);
}

#define START(n, function, callback, to_queue, ...)                                                \
    do {                                                                                           \
        consul_lock_error *error = NULL;                                                           \
        struct way way = a_way(n);                                                                 \
        consul_lock_status status =                                                                \
            way.sender != NULL                                                                     \
                ? CALL(function)(__VA_ARGS__, CALL(to_queue), way.sender, into((n), &error))       \
                : CALL(function)(__VA_ARGS__, callback, way.data, into((n), &error));              \
        after((n), way, status, error);                                                            \
    } while (0)

#endif
