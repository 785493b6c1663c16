/* Makes a lock from the environment, and says how that went: "made", or the status and the message.
 * With an argument the client gets that as its option "address". */
#include <consul_lock.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    consul_lock_error *error = NULL;
    consul_lock_client *client = NULL;
    consul_lock_options *options = consul_lock_options_new();
    if (argc > 1) {
        consul_lock_options_set(options, "address", argv[1], NULL);
        client = consul_lock_client_new(options, &error);
    } else {
        /* The default client is made when the first lock wants it. */
        consul_lock *lock = consul_lock_new("environment", NULL, &error);
        consul_lock_free(lock);
    }
    if (error == NULL) {
        puts("made");
    } else {
        printf("%s: %s\n", consul_lock_status_name(consul_lock_error_code(error)),
               consul_lock_error_message(error));
    }
    consul_lock_error_free(error);
    consul_lock_client_free(client);
    consul_lock_options_free(options);
    return 0;
}
