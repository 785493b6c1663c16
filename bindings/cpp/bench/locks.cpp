// Takes and releases a lock by the contract of benches/peers/README.md.
#include <consul_lock.hpp>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include <time.h>

namespace {

// std::chrono names no clock that other programs must share.
long long now() {
    timespec time;
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<long long>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

template <class... W> void say(const W &...words) {
    static std::mutex mutex;
    std::ostringstream line;
    ((line << words << ' '), ...);
    std::lock_guard<std::mutex> guard(mutex);
    std::cout << line.str().substr(0, line.str().size() - 1) << std::endl;
}

void turn(const std::string &key, const consul_locks::options &options, const std::string &name,
          std::chrono::milliseconds hold) {
    consul_locks::lock lock(key, options);
    long long begun = now();
    try {
        lock.acquire();
    } catch (const consul_locks::error &error) {
        return say("failed", name, error.what());
    }
    say("acquired", name, begun, now());
    std::this_thread::sleep_for(hold);
    begun = now();
    lock.release();
    say("released", name, begun, now());
}

void cycles(const std::string &key, const consul_locks::options &options, int count) {
    std::ostringstream times;
    for (int n = 0; n < count; n++) {
        const long long begun = now();
        {
            consul_locks::lock lock(key, options);
            lock.acquire();
            lock.release();
        }
        times << ' ' << now() - begun;
    }
    say("cycles" + times.str());
}

} // namespace

int main(int count, char **arguments) {
    if (count != 3) {
        std::cerr << "usage: " << arguments[0] << " ADDRESS KEY\n";
        return 2;
    }
    ::setenv("CONSUL_HTTP_ADDR", arguments[1], 1);
    const std::string key = arguments[2];
    consul_locks::set_default("lock_key_pattern", "%s");
    consul_locks::options options;
    options.acquire_timeout(options.forever);

    say("ready");
    std::vector<std::thread> turns;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string what, name;
        int number = 0;
        words >> what;
        if (what == "turns") {
            long hold_ms = 0;
            words >> name >> hold_ms >> number;
            turns.emplace_back([&, name, hold_ms, number] {
                for (int n = 0; n < number; n++) {
                    turn(key, options, name, std::chrono::milliseconds(hold_ms));
                }
            });
        } else if (what == "cycles" && words >> number) {
            cycles(key, options, number);
        }
    }
    for (std::thread &thread : turns) {
        thread.join();
    }
}
