#include <consul_lock.hpp>

#include <iostream>
#include <thread>

int main()
{
    using namespace std::chrono_literals;
    try {
        consul_locks::hold("long-work", consul_locks::options().auto_renew(), [](auto &lock) {
            for (int step = 1; step <= 100 && lock.is_held(); step++) {
                std::cout << "step " << step << '\n';
                std::this_thread::sleep_for(100ms);
            }
        });
    } catch (const consul_locks::error &error) {
        if (error.code() == CONSUL_LOCK_LOST) {
            std::cout << "lost: stopped\n";
        } else {
            std::cerr << error.what() << '\n';
            return 1;
        }
    }
}
