/* A library that is linked with the system's libconsul_lock. */
#include <consul_lock.h>
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* Takes a lock and gives it back. Returns the status of the acquire, or -1 if the library is not
 * the shared one. */
int plugin_taken(const char *key)
{
    Dl_info library;
    void *function = (void *)consul_lock_new;
    if (dladdr(function, &library) == 0 || strstr(library.dli_fname, "libconsul_lock.so") == NULL) {
        return -1;
    }
    consul_lock *lock = consul_lock_new(key, NULL, NULL);
    int status = consul_lock_acquire(lock, NULL);
    if (status == CONSUL_LOCK_OK && consul_lock_release(lock, NULL) != CONSUL_LOCK_OK) {
        status = -1;
    }
    consul_lock_free(lock);
    return status;
}
