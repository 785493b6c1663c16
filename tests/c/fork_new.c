/* One thread makes the default client, with something to log and with a file that does not come,
 * while other threads fork: neither waits for the other. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 20 };

static atomic_bool stop;
static atomic_int forks;

static void line(consul_lock_log_level level, const char *text, void *user_data)
{
    (void)level;
    (void)text;
    (void)user_data;
}

static void wait_for(pid_t child)
{
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "a child ended with %x\n", (unsigned)status);
        exit(1);
    }
}

static void *fork_on(void *data)
{
    (void)data;
    while (!atomic_load(&stop)) {
        pid_t child = fork();
        if (child == 0) {
            _exit(0);
        }
        wait_for(child);
        atomic_fetch_add(&forks, 1);
    }
    return NULL;
}

/* Makes the client while another thread forks. The log warns of TLS that verifies nothing. */
static void beside_forks(void)
{
    alarm(30); /* a deadlock is a failure, not a hang */
    setenv("CONSUL_HTTP_SSL", "true", 1);
    setenv("CONSUL_HTTP_SSL_VERIFY", "false", 1);
    CHECK(consul_lock_set_log_callback(line, NULL, NULL, CONSUL_LOCK_LOG_LEVEL_WARN) ==
          CONSUL_LOCK_OK);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, fork_on, NULL) == 0);
    while (atomic_load(&forks) < 3) {
        pause_ms(1);
    }
    consul_lock *lock = lock_on("fork_new", 0, 30);
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    consul_lock_free(lock);
    exit(0);
}

static void *make_one(void *data)
{
    (void)data;
    consul_lock_free(consul_lock_new("fork_new", NULL, NULL));
    return NULL;
}

/* Forks while a client is made from a pipe that no process writes to. */
static void beside_a_file(const char *fifo)
{
    alarm(30);
    setenv("CONSUL_HTTP_TOKEN_FILE", fifo, 1);
    unsetenv("CONSUL_HTTP_TOKEN");
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, make_one, NULL) == 0);
    pause_ms(300);
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    wait_for(child);
    _exit(0);
}

int main(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        pid_t child = fork();
        if (child == 0) {
            beside_forks();
        }
        wait_for(child);
    }
    char folder[] = "/tmp/fork_new-XXXXXX";
    char fifo[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(fifo, sizeof fifo, "%s/token", folder);
    CHECK(mkfifo(fifo, 0600) == 0);
    pid_t child = fork();
    if (child == 0) {
        beside_a_file(fifo);
    }
    wait_for(child);
    CHECK(unlink(fifo) == 0 && rmdir(folder) == 0);
    return 0;
}
