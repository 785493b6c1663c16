// The same in C++.
#include <consul_lock.hpp>

#include <iostream>

int main()
{
    try {
        consul_locks::hold("consumer-cpp", [] {});
        return 0;
    } catch (const consul_locks::error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
