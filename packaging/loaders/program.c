/* Has the library inside, as programs of Go do, loads the extension, and takes locks by both:
 * program EXTENSION */
#include <assert.h>
#include <consul_lock.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **arguments)
{
    assert(count == 2);
    void *extension = dlopen(arguments[1], RTLD_NOW);
    if (extension == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    int (*take)(const char *) = (int (*)(const char *))dlsym(extension, "extension_take");
    int (*give)(void) = (int (*)(void))dlsym(extension, "extension_give");

    consul_lock *lock = consul_lock_new("loaders/c", NULL, NULL);
    assert(consul_lock_acquire(lock, NULL) == CONSUL_LOCK_OK);
    assert(take("loaders/c") == CONSUL_LOCK_NOT_ACQUIRED);
    assert(take("loaders/c/other") == CONSUL_LOCK_OK);
    assert(give() == CONSUL_LOCK_OK);
    assert(consul_lock_release(lock, NULL) == CONSUL_LOCK_OK);
    consul_lock_free(lock);

    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096];
    while (fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "libconsul_lock") != NULL && strstr(line, " r-xp ") != NULL)
            printf("%s", strchr(line, '/'));
    fclose(maps);
    return 0;
}
