// soak COUNT: many cycles leave nothing behind. Counts memory, threads, descriptors and sessions
// after a tenth of the cycles and at the end.
#include "check.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

using namespace std::chrono_literals;

// A number of /proc/self/status.
static long status(const char *field) {
    std::ifstream lines("/proc/self/status");
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(field, 0) == 0) {
            return std::stol(line.substr(std::strlen(field) + 1));
        }
    }
    NEVER("no such field");
}

static long descriptors() {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return std::distance(begin(files), end(files));
}

struct counts {
    long kilobytes = status("VmRSS"), threads = status("Threads"), files = descriptors();
};

// Takes a lock once in each way.
static void cycle(int number) {
    const std::string key = "cpp/soak-" + std::to_string(number % 10);
    consul_locks::failure why;
    switch (number % 5) {
    case 0:
        consul_locks::hold(key, [] {});
        break;
    case 1: {
        consul_locks::lock lock(key);
        CHECK(lock.acquire(why));
        consul_locks::lock other(key);
        CHECK(!other.acquire(why) && why.code() == CONSUL_LOCK_NOT_ACQUIRED);
        break;
    }
    case 2: {
        consul_locks::lock lock(key);
        awaited<consul_locks::failure> told, given_back;
        lock.on_lost([kept = std::string(1000, 'x')] { NEVER("lost"); });
        lock.acquire_start([&](consul_locks::failure of) { told.tell(std::move(of)); });
        CHECK(!told.get());
        lock.release_start([&](consul_locks::failure of) { given_back.tell(std::move(of)); });
        CHECK(!given_back.get());
        break;
    }
    case 3: {
        consul_locks::options options;
        options.value(std::string(10'000, 'v'));
        consul_locks::lock lock(key, options);
        CHECK(lock.acquire(why) && consul_locks::holder(key)->value.size() == 10'000);
        break;
    }
    default: {
        consul_locks::lock lock(key);
        lock.cancel();
        CHECK(!lock.acquire(why) && why.code() == CONSUL_LOCK_CANCELLED);
        CHECK(!consul_locks::lock::make("", consul_locks::options(), why));
    }
    }
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    const int cycles = std::atoi(arguments[1]);
    for (int number = 0; number < cycles / 10; number++) {
        cycle(number);
    }
    const counts before;
    for (int number = cycles / 10; number < cycles; number++) {
        cycle(number);
    }
    const counts after;
    std::printf("%d cycles: %ld kB, %ld threads, %ld descriptors; after a tenth: %ld, %ld, %ld\n",
                cycles, after.kilobytes, after.threads, after.files, before.kilobytes,
                before.threads, before.files);
    CHECK(after.kilobytes < before.kilobytes + 4000);
    CHECK(after.threads <= before.threads + 3 && after.threads < 12);
    CHECK(after.files <= before.files + 3);
    consul_locks::shutdown(10s);
}
