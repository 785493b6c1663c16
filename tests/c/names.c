/* A slow and a silent nameserver. The program has a getaddrinfo of its own, which the library finds
 * before that of the C library.
 *
 *   names PORT      the port of a Consul at 127.0.0.1
 */
#include <arpa/inet.h>
#include <consul_lock.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int slow, silent;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    (void)service;
    (void)hints;
    if (strcmp(name, "silent.example") == 0) {
        __atomic_add_fetch(&silent, 1, __ATOMIC_SEQ_CST);
        for (;;) {
            pause();
        }
    }
    if (strcmp(name, "slow.example") != 0) {
        return EAI_NONAME;
    }
    __atomic_add_fetch(&slow, 1, __ATOMIC_SEQ_CST);
    sleep(2);
    struct addrinfo *found = calloc(1, sizeof *found);
    struct sockaddr_in *address = calloc(1, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    found->ai_family = AF_INET;
    found->ai_socktype = SOCK_STREAM;
    found->ai_addr = (struct sockaddr *)address;
    found->ai_addrlen = sizeof *address;
    *result = found;
    return 0;
}

void freeaddrinfo(struct addrinfo *result)
{
    free(result->ai_addr);
    free(result);
}

static void is(int so, const char *what)
{
    if (!so) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

/* A lock of a new client with these addresses. */
static consul_lock *lock_at(const char *addresses, const char *patience)
{
    consul_lock_error *error = NULL;
    consul_lock_options *of_client = consul_lock_options_new(),
                        *of_lock = consul_lock_options_new();
    consul_lock_options_set(of_client, "address", addresses, NULL);
    consul_lock_options_set(of_client, "connect_timeout_ms", "500", NULL);
    consul_lock_options_set(of_client, "request_timeout_ms", "60000", NULL);
    consul_lock_client *client = consul_lock_client_new(of_client, &error);
    is(client != NULL, "a client");
    consul_lock_options_set(of_lock, "acquire_timeout_ms", patience, NULL);
    consul_lock_options_set_client(of_lock, client, NULL);
    consul_lock *lock = consul_lock_new("names", of_lock, &error);
    is(lock != NULL, "a lock");
    consul_lock_client_free(client);
    consul_lock_options_free(of_client);
    consul_lock_options_free(of_lock);
    return lock;
}

static void taken_at(const char *addresses)
{
    consul_lock_error *error = NULL;
    consul_lock *lock = lock_at(addresses, "0");
    if (consul_lock_acquire(lock, &error) != CONSUL_LOCK_OK) {
        fprintf(stderr, "%s: %s\n", addresses, consul_lock_error_message(error));
        exit(1);
    }
    is(consul_lock_release(lock, &error) == CONSUL_LOCK_OK, "released");
    consul_lock_free(lock);
}

static void *cancels(void *lock)
{
    while (__atomic_load_n(&silent, __ATOMIC_SEQ_CST) == 0) {
        usleep(1000);
    }
    usleep(100000);
    consul_lock_cancel(lock);
    return NULL;
}

int main(int argc, char **argv)
{
    char addresses[200];
    const char *port = argc > 1 ? argv[1] : "8500";

    /* A wait for a silent nameserver can be cancelled. */
    snprintf(addresses, sizeof addresses, "silent.example:%s", port);
    consul_lock *lock = lock_at(addresses, "-1");
    pthread_t thread;
    pthread_create(&thread, NULL, cancels, lock);
    is(consul_lock_acquire(lock, NULL) == CONSUL_LOCK_CANCELLED, "cancelled");
    pthread_join(thread, NULL);
    consul_lock_free(lock);

    /* A silent nameserver does not keep the next address from its turn, and one thread waits for it
     * on behalf of all. */
    snprintf(addresses, sizeof addresses, "silent.example:%s,127.0.0.1:%s", port, port);
    for (int i = 0; i < 20; i++) {
        taken_at(addresses);
    }
    is(silent == 1, "a silent nameserver is asked once at a time");

    /* A slow nameserver costs its time once, whatever connect_timeout_ms is. */
    snprintf(addresses, sizeof addresses, "slow.example:%s", port);
    taken_at(addresses);
    taken_at(addresses);
    is(slow == 1, "an answer is remembered for all clients");
    is(consul_lock_shutdown(20000, NULL) == CONSUL_LOCK_OK, "nothing is left to do");
    return 0;
}
