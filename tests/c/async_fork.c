/*
 * A fork with acquires pending and callbacks queued: no callback of the parent runs in the child,
 * which can start acquires of its own. The same holds for a fork inside a callback that returns in
 * the child.
 */
#include "check.h"

#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t parent;
static atomic_int in_parent, in_child;
static atomic_int entered, is_queued, forked;

static void wait_for(atomic_int *what, int value)
{
    int64_t begun = now_ms();
    while (atomic_load(what) != value) {
        CHECK(now_ms() - begun < 20000);
        pause_ms(5);
    }
}

static void count(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    (void)status;
    (void)user_data;
    consul_lock_error_free(error);
    atomic_fetch_add(getpid() == parent ? &in_parent : &in_child, 1);
}

/* A callback of the parent that runs in the child is a failure. */
static void only_in_parent(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    if (getpid() != parent) {
        _exit(7);
    }
    count(status, error, user_data);
}

static void slow(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    only_in_parent(status, error, user_data);
    pause_ms(500);
}

static void hear(consul_lock_log_level level, const char *line, void *user_data)
{
    (void)level;
    (void)line;
    (void)user_data;
}

static void child(consul_lock *of_parent)
{
    alarm(30); /* a deadlock is a failure, not a hang */
    EXPECT(CONSUL_LOCK_FORKED, consul_lock_acquire_start(of_parent, count, NULL, &error));
    EXPECT(CONSUL_LOCK_FORKED, consul_lock_release_start(of_parent, count, NULL, &error));
    consul_lock_cancel(of_parent);
    consul_lock_free(of_parent);
    CHECK(consul_lock_set_log_callback(NULL, NULL, NULL, 1) == CONSUL_LOCK_OK);

    consul_lock *own = lock_on("async_fork/child", 5000, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(own, count, NULL, &error));
    wait_for(&in_child, 1);
    CHECK(consul_lock_is_held(own));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release_start(own, count, NULL, &error));
    wait_for(&in_child, 2);
    consul_lock_free(own);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    pause_ms(1000);
    _exit(0);
}

static void forks(consul_lock_status status, consul_lock_error *error, void *user_data)
{
    (void)user_data;
    expect(__FILE__, __LINE__, "done", CONSUL_LOCK_OK, status, error);
    consul_lock_error_free(error);
    atomic_store(&entered, 1);
    wait_for(&is_queued, 1); /* the next callback, behind this one */
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid != 0) {
        atomic_store(&forked, pid);
    } else {
        alarm(30);
    }
}

static void ends_well(pid_t pid)
{
    int status = 0;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "the child ended with %x\n", (unsigned)status);
        exit(1);
    }
}

int main(void)
{
    parent = getpid();
    alarm(120);
    CHECK(consul_lock_set_log_callback(hear, NULL, NULL, 4) == CONSUL_LOCK_OK);
    consul_lock *held = lock_on("async_fork", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(held, slow, NULL, &error));
    wait_for(&in_parent, 1);

    /* The thread for callbacks is inside one, another is queued, and an acquire is pending. */
    consul_lock *queued = lock_on("async_fork", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(queued, only_in_parent, NULL, &error));
    consul_lock *pending = lock_on("async_fork", -1, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(pending, only_in_parent, NULL, &error));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child(pending);
    }
    ends_well(pid);
    wait_for(&in_parent, 2);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(held, &error));
    wait_for(&in_parent, 3);
    CHECK(consul_lock_is_held(pending));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(pending, &error));

    consul_lock *forking = lock_on("async_fork/inside", 0, 30);
    consul_lock *behind = lock_on("async_fork/behind", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(forking, forks, NULL, &error));
    wait_for(&entered, 1);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire_start(behind, only_in_parent, NULL, &error));
    while (!consul_lock_is_held(behind)) {
        pause_ms(5);
    }
    atomic_store(&is_queued, 1);
    wait_for(&in_parent, 4);
    ends_well(atomic_load(&forked));

    consul_lock_free(forking);
    consul_lock_free(behind);
    consul_lock_free(held);
    consul_lock_free(queued);
    consul_lock_free(pending);
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
