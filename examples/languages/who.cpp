#include <consul_lock.hpp>

#include <iostream>

int main()
{
    try {
        if (auto holder = consul_locks::holder("nightly-report")) {
            std::cout << holder->name << " on " << holder->node << '\n';
        } else {
            std::cout << "free\n";
        }
    } catch (const consul_locks::error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
