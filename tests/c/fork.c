/*
 * One thread forks in a loop while 8 others lock: every child takes and releases a lock of its own,
 * and the parent's held lock stays held.
 */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8, CHILDREN = 30 };

static atomic_bool done;
static atomic_int cycles;

static void *cycle(void *data)
{
    char key[32];
    snprintf(key, sizeof key, "fork/thread-%d", *(int *)data);
    while (!atomic_load(&done)) {
        consul_lock *lock = lock_on(key, 5000, 30);
        EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
        EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
        consul_lock_free(lock);
        atomic_fetch_add(&cycles, 1);
    }
    return NULL;
}

static void child(consul_lock *of_parent, int number)
{
    alarm(30); /* a deadlock is a failure, not a hang */
    EXPECT(CONSUL_LOCK_FORKED, consul_lock_release(of_parent, &error));
    EXPECT(CONSUL_LOCK_FORKED, consul_lock_renew(of_parent, &error));
    CHECK(!consul_lock_is_held(of_parent));
    consul_lock_free(of_parent);

    char key[32];
    snprintf(key, sizeof key, "fork/child-%d", number);
    consul_lock *own = lock_on(key, 5000, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(own, &error));
    CHECK(consul_lock_is_held(own));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(own, &error));
    consul_lock_free(own);
    consul_lock_shutdown(5000, NULL);
    _exit(0);
}

int main(void)
{
    consul_lock *held = lock_on("fork/held", 0, 120);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(held, &error));

    pthread_t threads[THREADS];
    int numbers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, cycle, &numbers[i]) == 0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            child(held, i);
        }
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fprintf(stderr, "child %d ended with %x\n", i, (unsigned)status);
            return 1;
        }
        EXPECT(CONSUL_LOCK_OK, consul_lock_check(held, &error));
    }
    atomic_store(&done, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(atomic_load(&cycles) > THREADS);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(held, &error));
    consul_lock_free(held);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(10000, &error));
    return 0;
}
