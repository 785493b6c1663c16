#include <consul_lock.hpp>

#include <iostream>

int main()
{
    using namespace std::chrono_literals;
    consul_locks::options patient;
    patient.acquire_timeout(2s);
    consul_locks::lock lock("nightly-report", patient);
    if (lock.try_acquire()) { // throws when nobody knows
        std::cout << "making the report\n";
        lock.release();
    } else {
        std::cout << "somebody else makes it\n";
    }
}
