/* Takes one lock, says so, gives it back, and says how much memory that took. */
#include <consul_lock.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    consul_lock_error *error = NULL;
    consul_lock *lock = consul_lock_new("once", NULL, &error);
    if (lock == NULL || consul_lock_acquire(lock, &error) != CONSUL_LOCK_OK) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        return 1;
    }
    puts("held");
    fflush(stdout);
    if (consul_lock_release(lock, &error) != CONSUL_LOCK_OK) {
        fprintf(stderr, "%s\n", consul_lock_error_message(error));
        return 1;
    }
    consul_lock_free(lock);

    char line[128];
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            fputs(line, stdout);
        }
    }
    return 0;
}
