/* The network of the chaos test: a switch between the hosts, each of which is a network namespace.
 *
 *     wire SEED HOST...
 *
 * The program makes a TAP device "lan" in the namespace /run/netns/HOST of each host, says "ready",
 * and forwards Ethernet frames between them. The card of the n-th host has the address
 * 02:00:00:00:00:n, from 1. Lines on the standard input change the way from one host to another, in
 * one direction:
 *
 *     way FROM TO CUT LOSS DELAY JITTER     0 or 1; lost frames of 1,000; microseconds;
 * microseconds more at most counts                                prints the frames: forwarded,
 * cut, lost, delayed, dropped
 *
 * The program ends with its standard input. A switch of our own needs no netem in the kernel, and
 * has faults between any two hosts (docs/adr/0037). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MOST_HOSTS 16
#define FRAME 2048
/* Frames on their way: at 10,000 a second and 300 ms each, there are 3,000. */
#define MOST_FRAMES 8192

typedef struct {
    bool is_cut;
    unsigned loss;
    uint64_t delay, jitter;
} way;

typedef struct {
    uint64_t due;
    int to;
    size_t length;
    unsigned char bytes[FRAME];
} frame;

static int hosts;
static const char *names[MOST_HOSTS];
static int cards[MOST_HOSTS];
static way ways[MOST_HOSTS][MOST_HOSTS];
static frame *heap[MOST_FRAMES];
static int frames;
static uint64_t random_state;
static uint64_t forwarded, cut, lost, delayed, dropped;

static void die(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* xorshift64*. */
static uint64_t chance(uint64_t below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 2685821657736338717U >> 33) % below;
}

/* A TAP device lives in the namespace in which it was made, wherever its descriptor is. */
static int card_of(const char *host)
{
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", host);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0)
        die(path);
    close(namespace);
    int card = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (card < 0)
        die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "lan"};
    if (ioctl(card, TUNSETIFF, &request) != 0)
        die("TUNSETIFF");
    return card;
}

static void deliver(int to, const unsigned char *bytes, size_t length)
{
    /* A card that is not up refuses, and one whose queue is full does: as a network does. */
    if (write(cards[to], bytes, length) < 0)
        dropped++;
    else
        forwarded++;
}

static void swap(int a, int b)
{
    frame *kept = heap[a];
    heap[a] = heap[b];
    heap[b] = kept;
}

static void keep(uint64_t due, int to, const unsigned char *bytes, size_t length)
{
    frame *made = frames < MOST_FRAMES ? malloc(sizeof *made) : NULL;
    if (made == NULL) {
        dropped++;
        return;
    }
    made->due = due;
    made->to = to;
    made->length = length;
    memcpy(made->bytes, bytes, length);
    delayed++;
    int at = frames++;
    heap[at] = made;
    while (at > 0 && heap[at]->due < heap[(at - 1) / 2]->due) {
        swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static frame *first_out(void)
{
    frame *first = heap[0];
    heap[0] = heap[--frames];
    for (int at = 0;;) {
        int least = at;
        for (int child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < frames && heap[child]->due < heap[least]->due)
                least = child;
        if (least == at)
            return first;
        swap(at, least);
        at = least;
    }
}

static void forward(int from, int to, const unsigned char *bytes, size_t length)
{
    const way *w = &ways[from][to];
    if (w->is_cut) {
        cut++;
    } else if (w->loss > 0 && chance(1000) < w->loss) {
        lost++;
    } else if (w->delay + w->jitter > 0) {
        keep(now() + w->delay + (w->jitter > 0 ? chance(w->jitter) : 0), to, bytes, length);
    } else {
        deliver(to, bytes, length);
    }
}

static void take(int from)
{
    unsigned char bytes[FRAME];
    /* Not for ever: the other hosts and the frames that are due have their turn. */
    for (int n = 0; n < 64; n++) {
        ssize_t length = read(cards[from], bytes, sizeof bytes);
        if (length < 14)
            return;
        if (bytes[0] & 1) {
            for (int to = 0; to < hosts; to++)
                if (to != from)
                    forward(from, to, bytes, (size_t)length);
        } else if (bytes[5] >= 1 && bytes[5] <= hosts && bytes[5] - 1 != from) {
            forward(from, bytes[5] - 1, bytes, (size_t)length);
        }
    }
}

static int named(const char *name)
{
    for (int n = 0; n < hosts; n++)
        if (strcmp(names[n], name) == 0)
            return n;
    fprintf(stderr, "wire: no host %s\n", name);
    exit(2);
}

static void obey(const char *line)
{
    char from[64], to[64];
    int is_cut;
    way w;
    if (sscanf(line, "way %63s %63s %d %u %" SCNu64 " %" SCNu64, from, to, &is_cut, &w.loss,
               &w.delay, &w.jitter) == 6) {
        w.is_cut = is_cut != 0;
        ways[named(from)][named(to)] = w;
        puts("ok");
    } else if (strncmp(line, "counts", 6) == 0) {
        printf("forwarded %" PRIu64 " cut %" PRIu64 " lost %" PRIu64 " delayed %" PRIu64
               " dropped %" PRIu64 "\n",
               forwarded, cut, lost, delayed, dropped);
    } else {
        fprintf(stderr, "wire: not understood: %s", line);
        exit(2);
    }
    fflush(stdout);
}

/* Executes the lines that have come; false at their end. */
static bool hear(void)
{
    static char line[1024];
    static size_t length;
    ssize_t got = read(STDIN_FILENO, line + length, sizeof line - 1 - length);
    if (got <= 0)
        return false;
    length += (size_t)got;
    line[length] = '\0';
    for (char *end; (end = strchr(line, '\n')) != NULL;) {
        *end = '\0';
        obey(line);
        length -= (size_t)(end + 1 - line);
        memmove(line, end + 1, length + 1);
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc - 2 > MOST_HOSTS) {
        fprintf(stderr, "usage: wire SEED HOST...\n");
        return 2;
    }
    random_state = strtoull(argv[1], NULL, 10) * 2 + 1;
    struct pollfd asked[MOST_HOSTS + 1];
    for (hosts = 0; hosts < argc - 2; hosts++) {
        names[hosts] = argv[hosts + 2];
        cards[hosts] = card_of(names[hosts]);
        asked[hosts] = (struct pollfd){.fd = cards[hosts], .events = POLLIN};
    }
    asked[hosts] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    puts("ready");
    fflush(stdout);

    for (;;) {
        struct timespec patience, *limit = NULL;
        if (frames > 0) {
            uint64_t at = now(), left = heap[0]->due > at ? heap[0]->due - at : 0;
            patience = (struct timespec){.tv_sec = (time_t)(left / 1000000),
                                         .tv_nsec = (long)(left % 1000000) * 1000};
            limit = &patience;
        }
        if (ppoll(asked, (nfds_t)hosts + 1, limit, NULL) < 0 && errno != EINTR)
            die("ppoll");
        for (int n = 0; n < hosts; n++)
            if (asked[n].revents & POLLIN)
                take(n);
        while (frames > 0 && heap[0]->due <= now()) {
            frame *due = first_out();
            deliver(due->to, due->bytes, due->length);
            free(due);
        }
        if ((asked[hosts].revents & (POLLIN | POLLHUP)) && !hear())
            return 0;
    }
}
