// The first program: only one at a time makes the report, in the whole datacenter.
#include <consul_lock.hpp>

#include <iostream>

int main() {
    try {
        consul_locks::hold("nightly-report", [] { std::cout << "making the report\n"; });
    } catch (const consul_locks::error &error) {
        std::cout << "no report: " << error.what() << '\n';
        return 1;
    }
}
