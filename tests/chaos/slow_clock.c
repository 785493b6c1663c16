/* A boot clock that runs fast or slow: preloaded into a worker, with CHAOS_PPM parts of a million
 * (negative: slow).
 *
 * The library counts its leases on CLOCK_BOOTTIME, and asks the C library for it. Timers of the
 * kernel keep their rate. The workers write their journals by the kernel's own clock, which this
 * does not change. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t ppm, begun;

static int64_t boot_clock(void)
{
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((constructor)) static void begin(void)
{
    const char *said = getenv("CHAOS_PPM");
    ppm = said == NULL ? 0 : atol(said);
    begun = boot_clock();
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    if (clock != CLOCK_BOOTTIME)
        return (int)syscall(SYS_clock_gettime, clock, t);
    int64_t passed = boot_clock() - begun;
    int64_t shown = begun + passed + passed / 1000 * ppm / 1000;
    t->tv_sec = shown / 1000000000;
    t->tv_nsec = shown % 1000000000;
    return 0;
}
