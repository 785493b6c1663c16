// What to do with each outcome, with exceptions or without: this compiles under -fno-exceptions.
#include <consul_lock.hpp>

#include <cstdio>

int main() {
    consul_locks::failure why;
    auto lock = consul_locks::lock::make("outcomes-example", consul_locks::options(), why);
    if (!lock) { // a wrong key, option or environment: nothing was sent
        std::printf("%s\n", why.message());
        return 2;
    }
    if (!lock->acquire(why)) {
        switch (why.code()) {
        case CONSUL_LOCK_NOT_ACQUIRED: // another process works; the message names it
            std::printf("not our turn: %s\n", why.message());
            return 0;
        case CONSUL_LOCK_UNAVAILABLE: // no usable answer: do not work
        case CONSUL_LOCK_DENIED:      // the message names the right that is missing
        default:
            std::printf("%s: %s\n", consul_locks::name(why.code()), why.message());
            return 1;
        }
    }
    std::puts("working");
    if (!lock->release(why)) { // LOST: others may have worked at the same time
        std::printf("%s: %s\n", consul_locks::name(why.code()), why.message());
        return 1;
    }
}
