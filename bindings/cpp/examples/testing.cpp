// Tests of a program's own: what it does when it has the lock, when somebody else has it, and when
// it loses it. They need a Consul, such as `consul agent -dev`, and no mock.
#include <consul_lock.hpp>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>
#include <thread>

// What is tested: works in steps, as long as it is the one who may.
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

static void must(bool is_so, const char *what) {
    std::cout << (is_so ? "ok: " : "FAILED: ") << what << '\n';
    if (!is_so) {
        std::exit(1);
    }
}

int main() {
    using namespace std::chrono_literals;
    // Keys of this run alone: tests that run at the same time do not meet.
    const std::string folder = "test-" + std::to_string(std::random_device()());
    consul_locks::set_default("lock_key_pattern", folder + "/%s");

    must(steps_done([] {}) == 3, "works when the lock is free");

    // A lock of the same process is somebody else, too.
    consul_locks::hold("testing-example", [] {
        must(steps_done([] {}) == -1, "does nothing when somebody else has it");
    });

    // Whoever may write the key can take it away. After a second the library watches it.
    consul_locks::lock guard("an-operator");
    guard.acquire();
    const int steps = steps_done([&] {
        guard.delete_if_held(folder + "/testing-example");
        std::this_thread::sleep_for(2s);
    });
    must(steps == 1, "stops when it was lost");
}
