#include <consul_lock.hpp>

#include <iostream>

int main()
{
    try {
        consul_locks::hold("nightly-report", [] { std::cout << "making the report\n"; });
    } catch (const consul_locks::error &error) {
        std::cerr << "no report: " << error.what() << '\n';
        return 1;
    }
}
