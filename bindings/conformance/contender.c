/* The steps of mixed.txt in C: contender OPERATOR NAME TURNS alone|share KEY, or … pair KEY KEY. */
#include <consul_lock.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *operator, * name;

static void must(bool is_so, const char *what, const consul_lock_error *error)
{
    if (!is_so) {
        printf("FAILED %s: %s\n", what, consul_lock_error_message(error));
        exit(1);
    }
}

static void enter(const char *room, uint64_t token)
{
    char command[4096];
    snprintf(command, sizeof command, "'%s' enter %s %s %" PRIu64 " > /dev/null", operator, room,
             name, token);
    must(system(command) == 0, "enter", NULL);
}

static void leave(const char *room)
{
    char command[4096];
    snprintf(command, sizeof command, "'%s' leave %s %s > /dev/null", operator, room, name);
    must(system(command) == 0, "leave", NULL);
}

/* A share enters the room of its slot; an exclusive lock on the same key the rooms of both slots.
 */
static void turn(const char *const *keys, size_t count, bool has_slots, bool is_share)
{
    consul_lock_error *error = NULL;
    consul_lock_options *options = consul_lock_options_new();
    consul_lock_options_set(options, "acquire_timeout_ms", "60000", NULL);
    consul_lock_options_set(options, "queue_grace_ms", "5000", NULL);
    if (is_share) {
        consul_lock_options_set(options, "mode", "share", NULL);
        consul_lock_options_set(options, "limit", "2", NULL);
    }
    consul_lock *lock = consul_lock_new_all(keys, count, options, &error);
    must(lock != NULL, "new", error);
    must(consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK, "acquire", error);

    uint64_t token = consul_lock_fencing_token(lock);
    int32_t slot = consul_lock_slot(lock);
    must((slot >= 0) == is_share, "slot", NULL);
    char rooms[2][1024];
    size_t entered = has_slots && !is_share ? 2 : count;
    for (size_t n = 0; n < entered; n++) {
        if (has_slots) {
            snprintf(rooms[n], sizeof rooms[n], "%s-%d", keys[0], is_share ? (int)slot : (int)n);
        } else {
            snprintf(rooms[n], sizeof rooms[n], "%s", keys[n]);
        }
        enter(rooms[n], token);
    }
    usleep(100000);
    must(consul_lock_check(lock, &error) == CONSUL_LOCK_OK, "check", error);
    for (size_t n = 0; n < entered; n++) {
        leave(rooms[n]);
    }

    must(consul_lock_release(lock, &error) == CONSUL_LOCK_OK, "release", error);
    consul_lock_free(lock);
    consul_lock_options_free(options);
    printf("as token %" PRIu64 "\n", token);
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc > 7) {
        fprintf(stderr, "usage: %s OPERATOR NAME TURNS alone|share|pair KEY [KEY]\n", argv[0]);
        return 2;
    }
    operator= argv[1];
    name = argv[2];
    bool has_slots = strcmp(argv[4], "share") == 0;
    for (int turns = atoi(argv[3]); turns > 0; turns--) {
        turn((const char *const *)argv + 5, (size_t)argc - 5, has_slots, has_slots && turns % 2);
    }
    puts("ok");
    return 0;
}
