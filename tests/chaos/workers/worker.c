/* A worker of the chaos test over the C library. README.md has its environment and its journal. */
#include <consul_lock.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOPS 3

typedef struct {
    uint64_t random;
    pthread_mutex_t mutex;
    consul_lock *waiting;
} loop;

/* What the library gives to the notice of a loss. */
typedef struct {
    char hold[64];
} notice;

static const char *name;
static bool is_odd, is_blind;
static int journal;
static consul_lock_client *client;
static atomic_bool is_over;
static atomic_int holds;
static loop loops[LOOPS];

/* The kernel's own clock, also where the library's runs fast or slow. */
static int64_t now(void)
{
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    char line[2048];
    int length = snprintf(line, sizeof line, "%" PRId64 " ", now());
    va_list rest;
    va_start(rest, format);
    int more = vsnprintf(line + length, sizeof line - (size_t)length - 1, format, rest);
    va_end(rest);
    length += more;
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length] = '\n';
    if (write(journal, line, (size_t)length + 1) != length + 1)
        abort();
}

static uint64_t chance(loop *l, uint64_t below)
{
    l->random ^= l->random >> 12;
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    return (l->random * 2685821657736338717U >> 33) % below;
}

static void pause_ms(uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0)
        continue;
}

static const char *status_of(const consul_lock_error *error)
{
    return consul_lock_status_name(consul_lock_error_code(error));
}

static void lost(consul_lock_lost_reason reason, void *data)
{
    note("lost hold=%s reason=%s", ((notice *)data)->hold, consul_lock_lost_reason_name(reason));
}

static bool is_held(const consul_lock *lock, const char *hold)
{
    int64_t before = now();
    bool is = consul_lock_is_held(lock);
    note("held hold=%s before=%" PRId64 " is=%s", hold, before, is ? "yes" : "no");
    return is;
}

/* A writer that does not care for its lock: with its own connection, as another program would. */
static void write_blindly(const char *hold, const char *row, uint64_t token)
{
    char command[1024], address[256];
    snprintf(address, sizeof address, "%s", getenv("CHAOS_ADDRESS"));
    address[strcspn(address, ",")] = '\0';
    snprintf(command, sizeof command,
             "curl -s -m 5 -X PUT -d '%s %" PRIu64 "' http://%s/v1/kv/%s > /dev/null", hold, token,
             address, row);
    note("write hold=%s row=%s", hold, row);
    note("written hold=%s row=%s status=%s", hold, row,
         system(command) == 0 ? "OK" : "UNCONFIRMED");
}

static void write_guarded(consul_lock *lock, const char *hold, int number)
{
    char row[128], value[128];
    uint64_t token = consul_lock_fencing_token(lock);
    snprintf(row, sizeof row, "chaos/data/%s.%d", hold, number);
    if (is_blind) {
        write_blindly(hold, row, token);
        return;
    }
    int length = snprintf(value, sizeof value, "%s %" PRIu64, hold, token);
    consul_lock_error *error = NULL;
    note("write hold=%s row=%s", hold, row);
    consul_lock_put_if_held(lock, row, value, (size_t)length, &error);
    note("written hold=%s row=%s status=%s said=%s", hold, row, status_of(error),
         consul_lock_error_message(error));
    consul_lock_error_free(error);
}

static void work(loop *l, consul_lock *lock, const char *hold, uint64_t ms)
{
    int64_t end = now() + (int64_t)ms * 1000000;
    int writes = 0, most = 1 + (int)chance(l, 3);
    bool is = is_held(lock, hold);
    write_guarded(lock, hold, ++writes);
    while (now() < end && (is || is_blind)) {
        pause_ms(5 + chance(l, 20));
        is = is_held(lock, hold);
        if (writes < most && chance(l, 4) == 0)
            write_guarded(lock, hold, ++writes);
    }
    /* One that comes late now and then. */
    if (!is || chance(l, 10) == 0)
        write_guarded(lock, hold, ++writes);
}

/* One lock, from its making to its end. */
static void turn(loop *l)
{
    char hold[64], keys[64], first[16], second[16] = "";
    size_t count = 1;
    bool is_share = false;
    int64_t limit = 0, timeout = chance(l, 5) == 0 ? 0 : 1000 + (int64_t)chance(l, 30000);
    uint64_t kind = chance(l, 100), a = chance(l, 4), length = chance(l, 100);
    uint64_t ms = length < 80 ? chance(l, 200) : length < 96 ? chance(l, 2000) : chance(l, 15000);
    bool renews = chance(l, 2) == 0;
    if (is_odd && chance(l, 3) > 0) {
        /* Consul ends a session up to two TTLs later. */
        ms = 21000 + chance(l, 6000);
        renews = false;
    }
    snprintf(first, sizeof first, "x%d", (int)a);
    if (kind >= 60 && kind < 75) {
        strcpy(first, "readers");
        is_share = chance(l, 10) < 7;
    } else if (kind >= 75 && kind < 87) {
        strcpy(first, "slots");
        is_share = true;
        limit = 2;
    } else if (kind >= 87) {
        count = 2;
        snprintf(first, sizeof first, "p%d", (int)(a % 3));
        snprintf(second, sizeof second, "p%d", (int)((a % 3 + 1 + chance(l, 2)) % 3));
    } else if (kind < 8) {
        snprintf(first, sizeof first, "p%d", (int)(a % 3));
    }
    snprintf(keys, sizeof keys, count == 2 ? "%s,%s" : "%s", first, second);
    snprintf(hold, sizeof hold, "%s-%d", name, ++holds);

    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set_client(options, client, NULL);
    consul_lock_options_set_int(options, "lock_timeout_seconds", 10, NULL);
    consul_lock_options_set_int(options, "acquire_timeout_ms", timeout, NULL);
    consul_lock_options_set(options, "value", hold, NULL);
    /* The watch would tell a worker with a slow clock. */
    consul_lock_options_set(options, "monitor", is_odd ? "false" : "true", NULL);
    consul_lock_options_set(options, "auto_renew", renews ? "true" : "false", NULL);
    consul_lock_options_set(options, "mode", is_share ? "share" : "exclusive", NULL);
    if (limit > 0)
        consul_lock_options_set_int(options, "limit", limit, NULL);
    const char *both[] = {first, second};
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new_all(both, count, options, &error);
    consul_lock_options_free(options);
    if (lock == NULL) {
        note("answer hold=%s status=%s said=%s", hold, status_of(error),
             consul_lock_error_message(error));
        exit(1);
    }
    notice *data = calloc(1, sizeof *data);
    strcpy(data->hold, hold);
    consul_lock_set_lost_callback(lock, lost, data, free, NULL);

    pthread_mutex_lock(&l->mutex);
    l->waiting = is_over ? NULL : lock;
    pthread_mutex_unlock(&l->mutex);
    note("acquire hold=%s keys=%s mode=%s limit=%d timeout=%d renew=%s", hold, keys,
         is_share ? "share" : "exclusive", (int)limit, (int)timeout, renews ? "yes" : "no");
    bool is_granted = l->waiting != NULL && consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK;
    char session[64] = "";
    consul_lock_session_id(lock, session, sizeof session);
    note("answer hold=%s status=%s token=%" PRIu64 " slot=%d session=%s said=%s", hold,
         l->waiting == NULL ? "CANCELLED" : status_of(error), consul_lock_fencing_token(lock),
         (int)consul_lock_slot(lock), session, consul_lock_error_message(error));
    consul_lock_error_free(error);
    pthread_mutex_lock(&l->mutex);
    l->waiting = NULL;
    pthread_mutex_unlock(&l->mutex);
    if (is_granted) {
        work(l, lock, hold, ms);
        note("release hold=%s", hold);
        consul_lock_release(lock, &error);
        note("released hold=%s status=%s said=%s", hold, status_of(error),
             consul_lock_error_message(error));
        consul_lock_error_free(error);
    }
    consul_lock_free(lock);
}

static void *run(void *given)
{
    loop *l = given;
    while (!is_over) {
        turn(l);
        pause_ms(chance(l, 60));
    }
    return NULL;
}

int main(void)
{
    name = getenv("CHAOS_NAME");
    const char *sabotage = getenv("CHAOS_SABOTAGE") != NULL ? getenv("CHAOS_SABOTAGE") : "";
    is_odd = *sabotage != '\0';
    is_blind = strcmp(sabotage, "blind") == 0;
    journal = open(getenv("CHAOS_JOURNAL"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const char *node = getenv("CHAOS_SESSION_NODE");
    note("start worker=%s kind=c pid=%d node=%s", name, (int)getpid(), node);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL);

    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set(options, "address", getenv("CHAOS_ADDRESS"), NULL);
    consul_lock_options_set(options, "session_name", name, NULL);
    if (*node != '\0')
        consul_lock_options_set(options, "session_node", node, NULL);
    consul_lock_error *error = NULL;
    client = consul_lock_client_new(options, &error);
    consul_lock_options_free(options);
    if (client == NULL) {
        note("answer hold=%s-0 status=%s said=%s", name, status_of(error),
             consul_lock_error_message(error));
        return 1;
    }

    pthread_t threads[LOOPS];
    for (int n = 0; n < LOOPS; n++) {
        loops[n].random = (strtoull(getenv("CHAOS_SEED"), NULL, 10) * LOOPS + (uint64_t)n) * 2 + 1;
        pthread_mutex_init(&loops[n].mutex, NULL);
        chance(&loops[n], 2);
        pthread_create(&threads[n], NULL, run, &loops[n]);
    }
    int signal;
    sigwait(&term, &signal);
    is_over = true;
    for (int n = 0; n < LOOPS; n++) {
        pthread_mutex_lock(&loops[n].mutex);
        if (loops[n].waiting != NULL)
            consul_lock_cancel(loops[n].waiting);
        pthread_mutex_unlock(&loops[n].mutex);
    }
    for (int n = 0; n < LOOPS; n++)
        pthread_join(threads[n], NULL);
    consul_lock_shutdown(20000, &error);
    note("end status=%s", status_of(error));
    consul_lock_client_free(client);
    return 0;
}
