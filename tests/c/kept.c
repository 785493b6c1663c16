/* A host at its limits of threads and descriptors keeps the lock that it holds, and takes no lock
 * that the library could not renew. */
#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

static atomic_int starved;

static void line(consul_lock_log_level level, const char *text, void *user_data)
{
    (void)user_data;
    if (level == CONSUL_LOCK_LOG_LEVEL_WARN && strstr(text, strerror(EMFILE)) != NULL) {
        atomic_fetch_add(&starved, 1);
    }
}

static consul_lock *renewed(const char *key, const char *wait_ms)
{
    consul_lock_options *options = consul_lock_options_new();
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set(options, "auto_renew", "true", &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set(options, "lock_timeout_seconds", "20", &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set(options, "acquire_timeout_ms", wait_ms, &error));
    consul_lock *lock = consul_lock_new(key, options, NULL);
    CHECK(lock != NULL);
    consul_lock_options_free(options);
    return lock;
}

/* Gives no more threads. The library calls this function, too. */
static atomic_bool no_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *data)
{
    typedef int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    create real = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    CHECK(real != NULL);
    return atomic_load(&no_threads) ? EAGAIN : real(thread, attributes, run, data);
}

/* Lets the system give no descriptor from now on. */
static struct rlimit no_descriptors(void)
{
    int lowest = open("/dev/null", O_RDONLY);
    CHECK(lowest >= 0 && close(lowest) == 0);
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit now = {(rlim_t)lowest, before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
    return before;
}

int main(void)
{
    alarm(100); /* a call that never returns is a failure, not a hang */
    CHECK(consul_lock_set_log_callback(line, NULL, NULL, CONSUL_LOCK_LOG_LEVEL_WARN) ==
          CONSUL_LOCK_OK);

    /* An acquire whose lock could not be renewed fails: no descriptor for a connection, ... */
    consul_lock *never = renewed("kept/never", "1500");
    struct rlimit before = no_descriptors();
    EXPECT(CONSUL_LOCK_NO_RESOURCES, consul_lock_acquire(never, &error));
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(atomic_load(&starved) > 0);
    consul_lock_free(never);

    /* ... and no thread. */
    pause_ms(8000); /* until the earlier threads have ended */
    never = renewed("kept/never", "30000");
    atomic_store(&no_threads, true);
    int64_t begun = now_ms();
    EXPECT(CONSUL_LOCK_NO_RESOURCES, consul_lock_acquire(never, &error));
    CHECK(now_ms() - begun < 20000);
    atomic_store(&no_threads, false);
    CHECK(!is_taken("kept/never"));
    /* The refused acquire did not use the lock up. */
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(never, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(never, &error));
    consul_lock_free(never);

    /* A held lock stays held. */
    consul_lock *held = renewed("kept/held", "30000");
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(held, &error));
    consul_lock *plain = lock_on("kept/plain", 0, 120);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(plain, &error));
    pause_ms(3000); /* until the library watches the locks */
    before = no_descriptors();
    atomic_store(&no_threads, true);
    for (int i = 0; i < 220; i++) {
        pause_ms(100);
        CHECK(consul_lock_is_held(held));
    }
    EXPECT(CONSUL_LOCK_OK, consul_lock_check(held, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(plain, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(held, &error));
    atomic_store(&no_threads, false);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(!is_taken("kept/held") && !is_taken("kept/plain"));
    consul_lock_free(plain);
    consul_lock_free(held);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(10000, &error));
    return 0;
}
