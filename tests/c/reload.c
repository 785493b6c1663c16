/* dlopen, lock, dlclose, 100 times. The program is not linked with the library: argv[1] is its
 * path. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <consul_lock.h>

/* A function of the library, by name. (The detour: ISO C has no cast from data to function.) */
static void find(void *library, const char *name, void *function, size_t size)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, size);
}

int main(int argc, char **argv)
{
    for (int i = 0; i < 100; i++) {
        void *library = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        consul_lock *(*make)(const char *, const consul_lock_options *, consul_lock_error **);
        consul_lock_status (*acquire)(consul_lock *, consul_lock_error **);
        const char *(*message)(const consul_lock_error *);
        void (*free_lock)(consul_lock *);
        consul_lock_status (*shutdown)(int64_t, consul_lock_error **);
        find(library, "consul_lock_shutdown", &shutdown, sizeof shutdown);
        find(library, "consul_lock_new", &make, sizeof make);
        find(library, "consul_lock_acquire", &acquire, sizeof acquire);
        find(library, "consul_lock_error_message", &message, sizeof message);
        find(library, "consul_lock_free", &free_lock, sizeof free_lock);

        consul_lock_error *error = NULL;
        consul_lock *lock = make("reload", NULL, &error);
        if (lock == NULL || acquire(lock, &error) != CONSUL_LOCK_OK) {
            fprintf(stderr, "round %d: %s\n", i, message(error));
            return 1;
        }
        free_lock(lock);
        if (i == 99) {
            shutdown(5000, NULL);
        }
        dlclose(library);
    }
    return 0;
}
