// The same in C++.
#include <consul_lock.hpp>

#include <iostream>

int main()
{
    consul_locks::lock lock("test_package");
    std::cout << "libconsul_lock " << consul_lock_version() << '\n';
    return consul_lock_abi_version() == CONSUL_LOCK_ABI_VERSION ? 0 : 1;
}
