#include <consul_lock.hpp>

#include <iostream>

int main()
{
    using namespace std::chrono_literals;
    try {
        consul_locks::lock lock("nightly-report", consul_locks::options().acquire_timeout(2s));
        if (lock.try_acquire()) {
            std::cout << "making the report\n";
            lock.release();
        } else {
            std::cout << "another process makes it\n";
        }
    } catch (const consul_locks::error &error) { // Consul gave no usable answer, or refused
        std::cerr << "no report: " << error.what() << '\n';
        return 1;
    }
}
