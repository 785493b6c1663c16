/*
 * Calls all functions of the headers in random order from several threads, with valid, used up and
 * NULL objects, in callbacks, and in children after a fork, where the objects are the parent's.
 * What the headers call undefined does not happen: no thread uses an object that another one has
 * freed.
 *
 *     caller SEED THREADS CALLS SECONDS
 *
 * ends after so many calls or seconds, whichever comes first. It checks that each error has the
 * code of its status, that each text fits, that each call that was begun ends once, and that each
 * user data is freed once. It prints how often it has called each function. The sanitizers and
 * valgrind see the rest.
 */
#include "caller_locks.h"

#include <sys/wait.h>

/* ---- Options, clients, defaults ---- */

struct setting {
    const char *name, *text;
    int64_t number;
};

static const struct setting OF_A_LOCK[] = {
    {"acquire_timeout_ms", "150", 300},
    {"lock_timeout_seconds", "10", 11},
    {"mode", "share", -1},
    {"mode", "exclusive", -1},
    {"limit", "2", 3},
    {"auto_renew", "true", 0},
    {"monitor", "false", 1},
    {"fair", "false", 1},
    {"queue_grace_ms", "20", 50},
    {"max_lifetime_seconds", "1", 20},
};
static const struct setting OF_A_CLIENT[] = {
    {"request_timeout_ms", "900", 700}, {"release_timeout_ms", "500", 300},
    {"max_connections", "4", 9},        {"connect_timeout_ms", "200", 300},
    {"session_name", "caller", -1},     {"address", "127.0.0.1:1", -1},
    {"lock_delay_ms", "0", 1},
};
static const struct setting WRONG[] = {
    {"limit", "0", 0}, {"no such option", "1", 1}, {"mode", "both", 2}, {NULL, NULL, 0}};

static void set_an_option(N *n, consul_lock_options *options, bool of_a_lock)
{
    struct setting setting = of_a_lock ? ONE_OF(n, OF_A_LOCK) : ONE_OF(n, OF_A_CLIENT);
    if (one_in(n, 60)) {
        setting = ONE_OF(n, WRONG);
    }
    if (of_a_lock && one_in(n, 5)) {
        TRY(n, consul_lock_options_set_bytes, options, "value", "of the option", below(n, 14));
    } else if (of_a_lock && one_in(n, 4)) {
        struct shared *client = borrow(n, CLIENTS);
        if (client != NULL) {
            TRY(n, consul_lock_options_set_client, options, client->object);
        }
        give_back(client);
    } else if (setting.number >= 0 && one_in(n, 2)) {
        TRY(n, consul_lock_options_set_int, options, setting.name, setting.number);
    } else {
        TRY(n, consul_lock_options_set, options, setting.name, setting.text);
    }
}

static void options(N *n)
{
    bool of_a_lock = one_in(n, 2);
    enum kind kind = of_a_lock ? OF_LOCKS : OF_CLIENTS;
    struct shared *shared = borrow(n, kind);
    set_an_option(n, object_of(shared), of_a_lock);
    give_back(shared);
    if (one_in(n, 2)) {
        consul_lock_options *made = CALL(consul_lock_options_new)();
        for (uint64_t left = below(n, 3); left > 0; left--) {
            set_an_option(n, made, of_a_lock);
        }
        if (!put(n, kind, made, -1)) {
            CALL(consul_lock_options_free)(made);
        }
    } else if (one_in(n, 3)) {
        int32_t fd;
        CALL(consul_lock_options_free)(take(n, kind, &fd));
    }
}

static void clients(N *n)
{
    consul_lock_error *error = NULL;
    struct shared *shared = borrow(n, OF_CLIENTS);
    consul_lock_client *made = CALL(consul_lock_client_new)(object_of(shared), into(n, &error));
    give_back(shared);
    CHECK(made == NULL || error == NULL);
    if (error != NULL) {
        told(n, consul_lock_error_code(error), error);
    }
    if (!put(n, CLIENTS, made, -1)) {
        CALL(consul_lock_client_free)(made);
    }
    if (one_in(n, 3)) {
        int32_t fd;
        CALL(consul_lock_client_free)(take(n, CLIENTS, &fd));
    }
    shared = borrow(n, CLIENTS);
    COPY(n, consul_lock_client_stats, object_of(shared));
    if (one_in(n, 4)) {
        CALL(consul_lock_set_default_client)(one_in(n, 2) ? NULL : object_of(shared));
    }
    give_back(shared);
}

static void defaults(N *n)
{
    static const char *const TIMES[] = {"0", "50", "100", "-2", "x", NULL};
    switch (below(n, 4)) {
    case 0:
        TRY(n, consul_lock_defaults_set, "acquire_timeout_ms", ONE_OF(n, TIMES));
        break;
    case 1:
        CALL(consul_lock_set_value_generator)
        (one_in(n, 3) ? NULL : generate, new_data(n), free_data);
        break;
    case 2: {
        struct shared *queue = one_in(n, 3) ? borrow(n, QUEUES) : NULL;
        int32_t level = (int32_t)below(n, 6);
        consul_lock_status status;
        if (queue != NULL) {
            status = CALL(consul_lock_set_log_callback)(
                CALL(consul_lock_queue_log), CALL(consul_lock_sender_new)(queue->object, 3),
                CALL(consul_lock_sender_free), level);
        } else {
            status = CALL(consul_lock_set_log_callback)(log_line, new_data(n), free_data, level);
        }
        give_back(queue);
        CHECK((status == CONSUL_LOCK_OK) == (level >= 1 && level <= 4));
        break;
    }
    default:
        CHECK(strcmp(CALL(consul_lock_version)(), CONSUL_LOCK_VERSION) == 0);
        CHECK(CALL(consul_lock_abi_version)() == CONSUL_LOCK_ABI_VERSION);
        CHECK(CALL(consul_lock_status_name)((int32_t)any(n)) != NULL);
        CHECK(CALL(consul_lock_lost_reason_name)((int32_t)any(n)) != NULL);
    }
}

static void shut_down(N *n)
{
    if (!one_in(n, 4)) {
        return;
    }
    int64_t timeout_ms = (int64_t)below(n, 60) - 1;
    if (one_in(n, 2)) {
        TRY(n, consul_lock_shutdown, timeout_ms);
    } else {
        START(n, consul_lock_shutdown_start, done, consul_lock_queue_done, timeout_ms);
    }
}

/* ---- Holders and observers ---- */

static void holders(N *n)
{
    struct shared *shared = borrow(n, CLIENTS);
    const consul_lock_client *client = object_of(shared);
    const char *key = a_key(n);
    switch (below(n, 4)) {
    case 0: {
        consul_lock_holder_info *holder = NULL;
        TRY(n, consul_lock_holder, client, key, one_in(n, 20) ? NULL : &holder);
        keep_holder(n, holder);
        break;
    }
    case 1:
        START(n, consul_lock_holder_start, holder_done, consul_lock_queue_holder_done, client, key);
        break;
    case 2: {
        consul_lock_error *error = NULL;
        consul_lock_holders_info *found = CALL(consul_lock_holders)(client, key, into(n, &error));
        CHECK(found == NULL || error == NULL);
        if (error != NULL) {
            told(n, consul_lock_error_code(error), error);
        }
        keep_holders(n, found);
        break;
    }
    default:
        START(n, consul_lock_holders_start, holders_done, consul_lock_queue_holders_done, client,
              key);
    }
    give_back(shared);
}

/* Objects that never change, read by several threads. */
static void read_what_was_told(N *n)
{
    struct shared *error = borrow(n, ERRORS), *holder = borrow(n, HOLDERS);
    struct shared *all = borrow(n, ALL_HOLDERS);
    read_error(n, object_of(error));
    read_holder(n, object_of(holder));
    read_holders(n, object_of(all));
    give_back(all);
    give_back(holder);
    give_back(error);
    int32_t fd;
    CALL(consul_lock_error_free)(take(n, ERRORS, &fd));
    CALL(consul_lock_holder_free)(take(n, HOLDERS, &fd));
    CALL(consul_lock_holders_free)(take(n, ALL_HOLDERS, &fd));
}

static void observers(N *n)
{
    struct shared *client = borrow(n, CLIENTS);
    struct shared *queue = one_in(n, 2) ? borrow(n, QUEUES) : NULL;
    consul_lock_error *error = NULL;
    consul_lock_observer *observer;
    if (queue != NULL) {
        observer =
            CALL(consul_lock_observe)(object_of(client), a_key(n), CALL(consul_lock_queue_observed),
                                      CALL(consul_lock_sender_new)(queue->object, any(n)),
                                      CALL(consul_lock_sender_free), into(n, &error));
    } else {
        observer =
            CALL(consul_lock_observe)(object_of(client), a_key(n), one_in(n, 20) ? NULL : observed,
                                      new_data(n), free_data, into(n, &error));
    }
    give_back(queue);
    give_back(client);
    if (error != NULL) {
        CHECK(observer == NULL);
        told(n, consul_lock_error_code(error), error);
    }
    if (!put(n, OBSERVERS, observer, -1)) {
        CALL(consul_lock_observer_free)(observer);
    }
    int32_t fd;
    if (one_in(n, 2)) {
        CALL(consul_lock_observer_free)(take(n, OBSERVERS, &fd));
    }
}

/* ---- Queues ---- */

static void read_event(N *n, consul_lock_event *event)
{
    consul_lock_event_kind_t kind = CALL(consul_lock_event_kind)(event);
    CHECK((kind == CONSUL_LOCK_EVENT_NONE) == (event == NULL));
    int32_t code = CALL(consul_lock_event_code)(event);
    (void)CALL(consul_lock_event_tag)(event);
    COPY(n, consul_lock_event_line, event);
    bool takes = one_in(n, 3);
    if (takes || kind == CONSUL_LOCK_EVENT_DONE) {
        consul_lock_error *error = CALL(consul_lock_event_take_error)(event);
        CHECK(error == NULL || (int32_t)consul_lock_error_code(error) == code);
        if (error != NULL) {
            told(n, consul_lock_error_code(error), error);
        }
    }
    if (takes) {
        keep_holder(n, CALL(consul_lock_event_take_holder)(event));
        keep_holders(n, CALL(consul_lock_event_take_holders)(event));
    }
    CALL(consul_lock_event_free)(event);
}

static void events(N *n)
{
    struct shared *queue = borrow(n, QUEUES);
    if (queue != NULL) {
        char bytes[64];
        while (read(queue->fd, bytes, sizeof bytes) > 0) {
        }
    }
    consul_lock_event *event;
    int left = 50;
    while (left-- > 0 && (event = CALL(consul_lock_queue_next)(object_of(queue))) != NULL) {
        read_event(n, event);
    }
    read_event(n, NULL);
    give_back(queue);
}

static void queues(N *n)
{
    int32_t fd = -1;
    consul_lock_error *error = NULL;
    consul_lock_queue *made = CALL(consul_lock_queue_new)(&fd, into(n, &error));
    CHECK(made != NULL && fd >= 0 && error == NULL);
    /* A sender may outlive its queue. */
    consul_lock_sender *sender = CALL(consul_lock_sender_new)(made, any(n));
    if (!put(n, QUEUES, made, fd)) {
        bool closes_first = one_in(n, 2);
        if (closes_first) {
            close(fd);
        }
        CALL(consul_lock_queue_free)(made);
        if (!closes_first) {
            close(fd);
        }
    }
    /* The callbacks that the library has are functions that a program may call. */
    switch (below(n, 6)) {
    case 0:
        CALL(consul_lock_queue_done)(CONSUL_LOCK_LOST, NULL, sender);
        sender = NULL;
        break;
    case 1:
        CALL(consul_lock_queue_holder_done)(CONSUL_LOCK_OK, NULL, NULL, sender);
        sender = NULL;
        break;
    case 2:
        CALL(consul_lock_queue_holders_done)(CONSUL_LOCK_LOST, NULL, NULL, sender);
        sender = NULL;
        break;
    case 3:
        CALL(consul_lock_queue_lost)(CONSUL_LOCK_LOST_REASON_EXPIRED, sender);
        break;
    case 4:
        CALL(consul_lock_queue_observed)(CONSUL_LOCK_OK, NULL, NULL, sender);
        break;
    default:
        CALL(consul_lock_queue_log)
        (CONSUL_LOCK_LOG_LEVEL_INFO, one_in(n, 3) ? NULL : "line", sender);
    }
    CALL(consul_lock_sender_free)(sender);
    if (one_in(n, 3)) {
        made = take(n, QUEUES, &fd);
        CALL(consul_lock_queue_free)(made);
        if (made != NULL) {
            close(fd);
        }
    }
}

/* ---- Threads and children ---- */

static void fork_a_child(N *n);

typedef void (*operation)(N *);
/* The last one is for the parent alone. */
static const operation OPERATIONS[] = {
    new_lock,       acquire,    new_lock,          release,        free_a_lock,  cancel,
    look_at_a_lock, use_a_lock, acquire,           use_a_lock,     options,      clients,
    defaults,       shut_down,  holders,           observers,      queues,       read_what_was_told,
    events,         events,     listen_for_a_loss, end_an_acquire, fork_a_child,
};
enum { ALL = sizeof OPERATIONS / sizeof *OPERATIONS };

static unsigned long most_calls;
static int64_t end_ms;
static atomic_ulong forks;

static unsigned long all_calls(void)
{
    unsigned long all = 0;
    for (struct site *site = atomic_load(&sites); site != NULL; site = site->next) {
        all += atomic_load(&site->calls);
    }
    return all;
}

/* A child goes on with the objects of its parent, which are foreign there, and with some of its
 * own. */
static void fork_a_child(N *n)
{
    if (!one_in(n, 3)) {
        return;
    }
    pthread_mutex_lock(&pool_mutex);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        is_child = true;
        alarm(120);
        /* The header forbids the sets of options that another thread may have been changing. */
        for (size_t at = 0; at < MOST; at++) {
            pool[OF_LOCKS][at].users = pool[OF_LOCKS][at].users == 0 ? 0 : -1;
            pool[OF_CLIENTS][at].users = pool[OF_CLIENTS][at].users == 0 ? 0 : -1;
        }
        pthread_mutex_unlock(&pool_mutex);
        for (int left = 12; left > 0; left--) {
            OPERATIONS[below(n, ALL - 1)](n);
        }
        _exit(0);
    }
    pthread_mutex_unlock(&pool_mutex);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "a child ended with status %x\n", (unsigned)status);
        exit(1);
    }
    atomic_fetch_add(&forks, 1);
}

static void *call(void *seed)
{
    N n = {*(uint64_t *)seed};
    /* Everything once, and then in any order. */
    for (size_t at = below(&n, ALL), left = ALL; left > 0; left--, at++) {
        OPERATIONS[at % ALL](&n);
    }
    while (now_ms() < end_ms && all_calls() < most_calls) {
        OPERATIONS[below(&n, ALL)](&n);
    }
    return NULL;
}

static void close_all(void)
{
    int32_t fd;
    CHECK(consul_lock_set_log_callback(NULL, NULL, NULL, 1) == CONSUL_LOCK_OK);
    consul_lock_set_value_generator(NULL, NULL, NULL);
    consul_lock_set_default_client(NULL);
    for (size_t at = 0; at < MOST; at++) {
        consul_lock_observer_free(take_from(&pool[OBSERVERS][at], &fd));
        consul_lock_free(take_from(&pool[LOCKS][at], &fd));
        consul_lock_options_free(take_from(&pool[OF_LOCKS][at], &fd));
        consul_lock_options_free(take_from(&pool[OF_CLIENTS][at], &fd));
        consul_lock_client_free(take_from(&pool[CLIENTS][at], &fd));
    }
    /* What is still under way ends, and frees what was given to it. */
    int64_t end = now_ms() + 60000;
    while (atomic_load(&begun) != atomic_load(&ended) ||
           atomic_load(&data_made) != atomic_load(&data_freed)) {
        if (now_ms() > end) {
            fprintf(stderr, "%ld calls were begun and %ld ended; %ld user data, %ld freed\n",
                    atomic_load(&begun), atomic_load(&ended), atomic_load(&data_made),
                    atomic_load(&data_freed));
            exit(1);
        }
        pause_ms(20);
    }
    consul_lock_shutdown(5000, NULL);
    for (size_t at = 0; at < MOST; at++) {
        consul_lock_queue *queue = take_from(&pool[QUEUES][at], &fd);
        if (queue != NULL) {
            consul_lock_queue_free(queue);
            close(fd);
        }
        consul_lock_error_free(take_from(&pool[ERRORS][at], &fd));
        consul_lock_holder_free(take_from(&pool[HOLDERS][at], &fd));
        consul_lock_holders_free(take_from(&pool[ALL_HOLDERS][at], &fd));
    }
}

int main(int argc, char **argv)
{
    enum { THREADS = 64 };
    CHECK(argc == 5);
    N n = {strtoull(argv[1], NULL, 10)};
    size_t count = strtoul(argv[2], NULL, 10);
    most_calls = strtoul(argv[3], NULL, 10);
    end_ms = now_ms() + strtol(argv[4], NULL, 10) * 1000;
    CHECK(count >= 1 && count <= THREADS);
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS];
    for (size_t at = 0; at < count; at++) {
        seeds[at] = any(&n);
        CHECK(pthread_create(&threads[at], NULL, call, &seeds[at]) == 0);
    }
    for (size_t at = 0; at < count; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    close_all();
    for (struct site *site = atomic_load(&sites); site != NULL; site = site->next) {
        printf("%s %lu\n", site->name, atomic_load(&site->calls));
    }
    printf("seed %s: %lu calls, %zu threads, %lu forks, %ld callbacks\n", argv[1], all_calls(),
           count, atomic_load(&forks), atomic_load(&ended));
    return 0;
}
