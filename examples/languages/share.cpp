#include <consul_lock.hpp>

#include <iostream>

template <class Work> void unless_busy(const char *busy, Work work)
{
    try {
        work();
    } catch (const consul_locks::error &error) {
        if (error.code() != CONSUL_LOCK_NOT_ACQUIRED) {
            throw;
        }
        std::cout << busy << '\n';
    }
}

int main()
{
    try {
        unless_busy("all licences are in use", [] {
            const auto three = consul_locks::options().share().limit(3);
            consul_locks::hold("licence", three, [](auto &lock) {
                std::cout << "licence " << *lock.slot() << " of 0 to 2\n";
            });
        });
        unless_busy("an account is in use", [] {
            consul_locks::hold({"account/7", "account/3"},
                               [] { std::cout << "moving the money\n"; });
        });
    } catch (const consul_locks::error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
