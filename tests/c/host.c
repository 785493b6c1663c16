/* The library leaves the host as it was: errno, locale, signal dispositions, signal mask. */
#include "check.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>

static struct sigaction actions[NSIG];

static bool same_mask(const sigset_t *a, const sigset_t *b)
{
    for (int signal = 1; signal < NSIG; signal++) {
        if (sigismember(a, signal) != sigismember(b, signal)) {
            return false;
        }
    }
    return true;
}

int main(void)
{
    for (int signal = 1; signal < NSIG; signal++) {
        sigaction(signal, NULL, &actions[signal]);
    }
    sigset_t mask, mask_after;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    CHECK(setlocale(LC_ALL, "C.UTF-8") != NULL);
    char locale[64];
    snprintf(locale, sizeof locale, "%s", setlocale(LC_ALL, NULL));

    errno = 4242;
    consul_lock *lock = lock_on("host", 0, 30);
    CHECK(errno == 4242);
    consul_lock_error *error = NULL;
    CHECK(consul_lock_acquire(lock, &error) == CONSUL_LOCK_OK && errno == 4242);
    CHECK(consul_lock_acquire(lock, &error) == CONSUL_LOCK_ALREADY_USED && errno == 4242);
    consul_lock_error_free(error);
    CHECK(consul_lock_check(lock, NULL) == CONSUL_LOCK_OK && errno == 4242);
    CHECK(consul_lock_release(lock, NULL) == CONSUL_LOCK_OK && errno == 4242);
    consul_lock_free(lock);
    consul_lock_shutdown(1000, NULL);
    CHECK(errno == 4242);

    CHECK(strcmp(setlocale(LC_ALL, NULL), locale) == 0);
    sigprocmask(SIG_SETMASK, NULL, &mask_after);
    CHECK(same_mask(&mask, &mask_after));
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction after;
        if (sigaction(signal, NULL, &after) == 0) {
            CHECK(after.sa_handler == actions[signal].sa_handler);
            CHECK(after.sa_flags == actions[signal].sa_flags);
        }
    }
    return 0;
}
