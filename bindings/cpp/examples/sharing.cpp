// At most three at once, readers beside a writer, and several keys at once.
#include <consul_lock.hpp>

#include <iostream>

int main() {
    using namespace std::chrono_literals;
    using consul_locks::options;
    try {
        const auto three = options().share().limit(3).acquire_timeout(10s);
        consul_locks::hold("sharing-example/pool", three, [](consul_locks::lock &lock) {
            std::cout << "worker " << *lock.slot() << " of 3\n"; // no other one has this number
        });

        const auto reader = options().share().acquire_timeout(10s);
        consul_locks::hold("sharing-example/index", reader, [](consul_locks::lock &lock) {
            std::cout << "reading, beside other readers\n";
            if (lock.try_upgrade(5s)) { // without a gap: what was read stays true
                std::cout << "writing, alone\n";
                lock.downgrade(); // and reading on
            }
        });

        consul_locks::hold(
            {"sharing-example/a", "sharing-example/b"}, [](consul_locks::lock &lock) {
                std::cout << "has " << lock.keys().size() << " keys\n"; // all of them, or none
            });
    } catch (const consul_locks::error &error) {
        std::cerr << consul_locks::name(error.code()) << ": " << error.what() << '\n';
        return 1;
    }
}
