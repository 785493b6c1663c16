/* The steps of mixed.txt in C: contender OPERATOR KEY NAME TURNS. */
#include <consul_lock.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void must(int is_so, const char *what, const consul_lock_error *error)
{
    if (!is_so) {
        printf("FAILED %s: %s\n", what, consul_lock_error_message(error));
        exit(1);
    }
}

static void turn(const char *operator, const char * key, const char *name)
{
    consul_lock_error *error = NULL;
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set(options, "acquire_timeout_ms", "60000", NULL);
    consul_lock_options_set(options, "queue_grace_ms", "5000", NULL);
    consul_lock *lock = consul_lock_new(key, options, &error);
    must(lock != NULL, "new", error);
    must(consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK, "acquire", error);

    uint64_t token = consul_lock_fencing_token(lock);
    char command[4096];
    snprintf(command, sizeof command, "'%s' enter %s %s %" PRIu64 " > /dev/null", operator, key,
             name, token);
    must(system(command) == 0, "enter", NULL);
    usleep(100000);
    must(consul_lock_check(lock, &error) == CONSUL_LOCK_OK, "check", error);
    snprintf(command, sizeof command, "'%s' leave %s %s > /dev/null", operator, key, name);
    must(system(command) == 0, "leave", NULL);

    must(consul_lock_release(lock, &error) == CONSUL_LOCK_OK, "release", error);
    consul_lock_free(lock);
    consul_lock_options_free(options);
    printf("as token %" PRIu64 "\n", token);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s OPERATOR KEY NAME TURNS\n", argv[0]);
        return 2;
    }
    for (int turns = atoi(argv[4]); turns > 0; turns--) {
        turn(argv[1], argv[2], argv[3]);
    }
    puts("ok");
    return 0;
}
