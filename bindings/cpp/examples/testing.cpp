// Tests of a program's own: what the program does when it has the lock, when another lock has the
// key, and when it loses the lock. They need a Consul, such as `consul-lock dev`, and no mock.
#include <consul_lock.hpp>

#include <functional>
#include <iostream>
#include <random>
#include <thread>

// The code under test: works in steps, as long as it holds the lock.
static int steps_done(const std::function<void()> &step) {
    consul_locks::lock lock("testing-example");
    if (!lock.try_acquire()) {
        return -1;
    }
    int steps = 0;
    for (; steps < 3 && lock.is_held(); steps++) {
        step();
    }
    return steps;
}

static bool all_ok = true;

static void check(bool is_so, const char *what) {
    std::cout << (is_so ? "ok: " : "FAILED: ") << what << '\n';
    all_ok = all_ok && is_so;
}

int main() {
    using namespace std::chrono_literals;
    try {
        // Keys of this run alone: tests that run at the same time do not meet.
        const std::string folder = "test-" + std::to_string(std::random_device()());
        consul_locks::set_default("lock_key_pattern", folder + "/%s");

        check(steps_done([] {}) == 3, "works when the lock is free");

        // A lock of the same process excludes as one of another process does.
        consul_locks::hold("testing-example", [] {
            check(steps_done([] {}) == -1, "does nothing when another lock has the key");
        });

        // A program that may write the key can take the lock away. After a second the library
        // watches the key.
        consul_locks::lock operators("an-operator");
        operators.acquire();
        const int steps = steps_done([&] {
            operators.delete_if_held(folder + "/testing-example");
            std::this_thread::sleep_for(2s);
        });
        check(steps == 1, "stops when the lock was lost");
    } catch (const consul_locks::error &error) {
        check(false, error.what());
    }
    return all_ok ? 0 : 1;
}
