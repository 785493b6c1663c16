#include <consul_lock.hpp>

#include <iostream>

int main()
{
    if (auto holder = consul_locks::holder("nightly-report")) {
        std::cout << holder->name << " on " << holder->node << '\n';
    } else {
        std::cout << "nobody\n";
    }
}
