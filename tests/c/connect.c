/* One lock's life, with settings from the environment and from arguments.
 *
 *   connect make|take|hold|who [key=KEY] [log=LEVEL] [lock.NAME=VALUE]... [NAME=VALUE]...
 *
 * make: only makes the lock; take: also acquires and releases it; hold: acquires it, waits for the
 * end of its input, releases it; who: acquires it, and asks for its holder. NAME=VALUE is an option
 * of the client; without one the lock uses the default client. Prints one word for each step that
 * worked, or STATUS: message, and last the client's statistics.
 */
#include <consul_lock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failed(consul_lock_error *error)
{
    if (error == NULL) {
        return 0;
    }
    printf("%s: %s\n", consul_lock_status_name(consul_lock_error_code(error)),
           consul_lock_error_message(error));
    consul_lock_error_free(error);
    return 1;
}

static void line(consul_lock_log_level level, const char *text, void *user_data)
{
    (void)user_data;
    printf("log %d: %s\n", (int)level, text);
    fflush(stdout);
}

static void set(consul_lock_options *options, const char *name, const char *value)
{
    consul_lock_error *error = NULL;
    consul_lock_options_set(options, name, value, &error);
    if (failed(error)) {
        exit(0);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "make", *key = "connect";
    consul_lock_options *of_client = NULL, *of_lock = consul_lock_options_new();
    consul_lock_client *client = NULL;
    consul_lock_error *error = NULL;
    int logs = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL) {
            return 2;
        }
        *value++ = '\0';
        if (strcmp(argv[i], "key") == 0) {
            key = value;
        } else if (strcmp(argv[i], "log") == 0) {
            consul_lock_set_log_callback(line, NULL, NULL, atoi(value));
            logs = 1;
        } else if (strncmp(argv[i], "lock.", 5) == 0) {
            set(of_lock, argv[i] + 5, value);
        } else {
            if (of_client == NULL) {
                of_client = consul_lock_options_new();
            }
            set(of_client, argv[i], value);
        }
    }
    if (of_client != NULL) {
        client = consul_lock_client_new(of_client, &error);
        if (failed(error)) {
            return 0;
        }
        consul_lock_options_set_client(of_lock, client, NULL);
    }
    consul_lock *lock = consul_lock_new(key, of_lock, &error);
    if (failed(error)) {
        return 0;
    }
    puts("made");
    if (strcmp(mode, "make") != 0) {
        if (consul_lock_acquire(lock, &error) != CONSUL_LOCK_OK) {
            failed(error);
            goto end;
        }
        puts("taken");
        if (strcmp(mode, "who") == 0) {
            char text[256];
            consul_lock_holder_info *holder = NULL;
            consul_lock_holder(client, key, &holder, &error);
            if (!failed(error)) {
                consul_lock_holder_name(holder, text, sizeof text);
                printf("held by %s\n", text);
            }
            consul_lock_holder_free(holder);
            error = NULL;
        }
        if (strcmp(mode, "hold") == 0) {
            while (getchar() != EOF) {
            }
        }
        consul_lock_release(lock, &error);
        if (!failed(error)) {
            puts("released");
        }
    }
end:
    consul_lock_free(lock);
    if (client != NULL) {
        char stats[8192];
        consul_lock_client_stats(client, stats, sizeof stats);
        printf("stats %s\n", stats);
    }
    consul_lock_shutdown(2000, NULL);
    if (logs) {
        usleep(200000); /* a thread of their own brings the lines */
    }
    consul_lock_set_log_callback(NULL, NULL, NULL, 1);
    consul_lock_client_free(client);
    consul_lock_options_free(of_client);
    consul_lock_options_free(of_lock);
    return 0;
}
