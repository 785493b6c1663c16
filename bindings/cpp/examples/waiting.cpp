// Waits its turn, works in steps, and stops as soon as the lock is lost.
#include <consul_lock.hpp>

#include <iostream>

int main() {
    using namespace std::chrono_literals;
    consul_locks::options patient;
    patient.acquire_timeout(10s).lock_timeout(60s).auto_renew();
    consul_locks::lock lock("waiting-example", patient);
    if (!lock.try_acquire()) {
        std::cout << "somebody else has it\n"; // everything else is thrown
        return 1;
    }
    std::cout << lock.key() << " is ours, fencing token " << lock.fencing_token() << '\n';
    for (int step = 1; step <= 3 && lock.is_held(); step++) { // asks only the clock
        std::cout << "step " << step << '\n';
    }
    lock.release(); // throws LOST if it was lost meanwhile
}
