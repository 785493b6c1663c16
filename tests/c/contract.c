/* The rules of the contract, and each call in each state of a lock, on a real Consul. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program;

static void one_takes_it_and_gives_it_back(void)
{
    consul_lock *lock = lock_on("contract/one", 0, 30);
    CHECK(!consul_lock_is_held(lock) && consul_lock_remaining_ms(lock) == 0);
    CHECK(consul_lock_fencing_token(lock) == 0 && consul_lock_session_id(lock, NULL, 0) == 0);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    CHECK(consul_lock_is_held(lock) && is_taken("contract/one"));
    CHECK(consul_lock_remaining_ms(lock) > 25000 && consul_lock_remaining_ms(lock) <= 30000);
    uint64_t token = consul_lock_fencing_token(lock);
    CHECK(token > 0);
    char text[64];
    CHECK(consul_lock_session_id(lock, text, sizeof text) == 36 && strlen(text) == 36);
    CHECK(consul_lock_key(lock, text, sizeof text) == strlen("locks/ephemeral/contract/one"));
    CHECK(strcmp(text, "locks/ephemeral/contract/one") == 0);
    EXPECT(CONSUL_LOCK_OK, consul_lock_check(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    CHECK(!consul_lock_is_held(lock) && consul_lock_remaining_ms(lock) == 0);
    CHECK(consul_lock_fencing_token(lock) == token);
    CHECK(!is_taken("contract/one"));
    consul_lock_free(lock);

    consul_lock *next = lock_on("contract/one", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(next, &error));
    CHECK(consul_lock_fencing_token(next) > token);
    consul_lock_free(next);
}

static void a_lock_is_single_use(void)
{
    consul_lock *lock = lock_on("contract/single", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_ALREADY_USED, consul_lock_acquire(lock, &error));
    CHECK(consul_lock_is_held(lock));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    EXPECT(CONSUL_LOCK_ALREADY_USED, consul_lock_acquire(lock, &error));
    consul_lock_free(lock);
}

static void what_is_not_held_says_so(void)
{
    consul_lock *lock = lock_on("contract/unheld", 0, 30);
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_release(lock, &error));
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_renew(lock, &error));
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_check(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_release(lock, &error));
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_renew(lock, &error));
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_check(lock, &error));
    consul_lock_free(lock);
}

static void the_second_is_told_who_has_it(void)
{
    consul_lock *first = lock_on("contract/second", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(first, &error));

    consul_lock *second = lock_on("contract/second", 0, 30);
    consul_lock_error *error = NULL;
    int64_t begun = now_ms();
    CHECK(consul_lock_acquire(second, &error) == CONSUL_LOCK_NOT_ACQUIRED);
    CHECK(now_ms() - begun < 3000);
    CHECK(consul_lock_error_code(error) == CONSUL_LOCK_NOT_ACQUIRED);
    CHECK(consul_lock_error_is_retryable(error));
    CHECK(strstr(consul_lock_error_message(error), "contract/second") != NULL);
    CHECK(strstr(consul_lock_error_message(error), "this very process") != NULL);
    CHECK(strchr(consul_lock_error_message(error), '\n') == NULL);
    consul_lock_error_free(error);
    EXPECT(CONSUL_LOCK_NOT_HELD, consul_lock_release(second, &error));
    consul_lock_free(second);

    /* Another process learns our pid. */
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    pid_t child = fork();
    if (child == 0) {
        execl(program, program, "second", pid, (char *)NULL);
        _exit(99);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(first, &error));
    consul_lock_free(first);
}

/* The other process of the rule above. */
static int second_process(const char *pid)
{
    consul_lock *lock = lock_on("contract/second", 0, 30);
    consul_lock_error *error = NULL;
    CHECK(consul_lock_acquire(lock, &error) == CONSUL_LOCK_NOT_ACQUIRED);
    CHECK(strstr(consul_lock_error_message(error), pid) != NULL);
    CHECK(strstr(consul_lock_error_message(error), "this very process") == NULL);
    consul_lock_error_free(error);
    consul_lock_free(lock);
    return 0;
}

static void a_wait_ends_at_its_time(void)
{
    consul_lock *first = lock_on("contract/wait", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(first, &error));
    consul_lock *second = lock_on("contract/wait", 500, 30);
    int64_t begun = now_ms();
    EXPECT(CONSUL_LOCK_NOT_ACQUIRED, consul_lock_acquire(second, &error));
    int64_t took = now_ms() - begun;
    CHECK(took >= 490 && took < 5000);
    consul_lock_free(second);
    consul_lock_free(first);
}

struct attempt {
    consul_lock *lock;
    consul_lock_status status;
};

static void *acquire_it(void *data)
{
    struct attempt *attempt = data;
    attempt->status = consul_lock_acquire(attempt->lock, NULL);
    return NULL;
}

static void a_waiter_gets_it_when_it_is_released(void)
{
    consul_lock *first = lock_on("contract/hand", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(first, &error));
    struct attempt attempt = {lock_on("contract/hand", -1, 30), CONSUL_LOCK_INTERNAL};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, acquire_it, &attempt) == 0);
    pause_ms(500);
    CHECK(!consul_lock_is_held(attempt.lock));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(first, &error));
    int64_t released = now_ms();
    pthread_join(thread, NULL);
    CHECK(attempt.status == CONSUL_LOCK_OK && now_ms() - released < 3000);
    CHECK(consul_lock_fencing_token(attempt.lock) > consul_lock_fencing_token(first));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(attempt.lock, &error));
    consul_lock_free(attempt.lock);
    consul_lock_free(first);
}

static void a_cancel_ends_a_wait_and_is_sticky(void)
{
    consul_lock *first = lock_on("contract/cancel", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(first, &error));
    struct attempt attempt = {lock_on("contract/cancel", -1, 30), CONSUL_LOCK_INTERNAL};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, acquire_it, &attempt) == 0);
    pause_ms(300);
    int64_t cancelled = now_ms();
    consul_lock_cancel(attempt.lock);
    pthread_join(thread, NULL);
    CHECK(attempt.status == CONSUL_LOCK_CANCELLED && now_ms() - cancelled < 2000);
    consul_lock_free(attempt.lock);

    consul_lock *never = lock_on("contract/cancel", 0, 30);
    consul_lock_cancel(never);
    EXPECT(CONSUL_LOCK_CANCELLED, consul_lock_acquire(never, &error));
    consul_lock_free(never);

    consul_lock_cancel(first); /* held: nothing happens */
    CHECK(consul_lock_is_held(first));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(first, &error));
    consul_lock_free(first);
}

static void freeing_during_an_acquire_ends_it(void)
{
    consul_lock *first = lock_on("contract/free", 0, 30);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(first, &error));
    struct attempt attempt = {lock_on("contract/free", -1, 30), CONSUL_LOCK_INTERNAL};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, acquire_it, &attempt) == 0);
    pause_ms(300);
    consul_lock_free(attempt.lock);
    pthread_join(thread, NULL);
    CHECK(attempt.status == CONSUL_LOCK_CANCELLED);
    consul_lock_free(first);
    CHECK(!is_taken("contract/free")); /* the free of a held lock released it */
}

static void a_renewal_gives_the_whole_life_again(void)
{
    consul_lock *lock = lock_on("contract/renew", 0, 10);
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    pause_ms(1500);
    CHECK(consul_lock_remaining_ms(lock) < 9000);
    EXPECT(CONSUL_LOCK_OK, consul_lock_renew(lock, &error));
    CHECK(consul_lock_remaining_ms(lock) > 9000);
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    consul_lock_free(lock);
}

static void a_client_of_its_own_works(void)
{
    consul_lock_options *connection = consul_lock_options_new();
    consul_lock_options_set(connection, "address", getenv("CONSUL_HTTP_ADDR"), NULL);
    consul_lock_client *client = consul_lock_client_new(connection, NULL);
    CHECK(client != NULL);
    consul_lock_options *options = consul_lock_options_new();
    EXPECT(CONSUL_LOCK_OK, consul_lock_options_set_client(options, client, &error));
    consul_lock *lock = consul_lock_new("contract/client", options, NULL);
    consul_lock_options_free(options);
    consul_lock_options_free(connection);
    consul_lock_client_free(client); /* the lock holds a reference of its own */
    EXPECT(CONSUL_LOCK_OK, consul_lock_acquire(lock, &error));
    EXPECT(CONSUL_LOCK_OK, consul_lock_release(lock, &error));
    consul_lock_free(lock);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3) {
        return second_process(argv[2]);
    }
    one_takes_it_and_gives_it_back();
    a_lock_is_single_use();
    what_is_not_held_says_so();
    the_second_is_told_who_has_it();
    a_wait_ends_at_its_time();
    a_waiter_gets_it_when_it_is_released();
    a_cancel_ends_a_wait_and_is_sticky();
    freeing_during_an_acquire_ends_it();
    a_renewal_gives_the_whole_life_again();
    a_client_of_its_own_works();
    EXPECT(CONSUL_LOCK_OK, consul_lock_shutdown(5000, &error));
    return 0;
}
