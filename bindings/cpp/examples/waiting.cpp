// Waits its turn, works in steps, and stops as soon as the lock is lost.
#include <consul_lock.hpp>

#include <iostream>

int main() {
    using namespace std::chrono_literals;
    try {
        consul_locks::lock lock(
            "waiting-example",
            consul_locks::options().acquire_timeout(10s).lock_timeout(60s).auto_renew());
        if (!lock.try_acquire()) { // throws all but NOT_ACQUIRED
            std::cout << "another process has it\n";
            return 1;
        }
        std::cout << lock.key() << " is ours, fencing token " << lock.fencing_token() << '\n';
        for (int step = 1; step <= 3 && lock.is_held(); step++) { // asks only the clock
            std::cout << "step " << step << '\n';
        }
        lock.release(); // throws LOST if the lock was lost meanwhile
    } catch (const consul_locks::error &error) {
        std::cerr << consul_locks::name(error.code()) << ": " << error.what() << '\n';
        return 1;
    }
}
