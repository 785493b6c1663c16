// Waits for a lock without a thread: poll() on the descriptor of a queue, which any event loop can
// watch beside its own descriptors.
#include <consul_lock.hpp>

#include <iostream>
#include <poll.h>

int main() {
    using namespace std::chrono_literals;
    enum tag : std::uint64_t { acquired, lost, released };
    try {
        consul_locks::queue queue;
        consul_locks::lock lock("event-loop-example", consul_locks::options().acquire_timeout(10s));
        queue.on_lost(lock, lost);
        queue.acquire(lock, acquired);
        for (;;) {
            pollfd ready{queue.fd(), POLLIN, 0};
            poll(&ready, 1, -1);
            while (auto event = queue.next()) {
                if (const auto why = event->outcome()) {
                    throw consul_locks::error(why);
                }
                switch (event->tag()) {
                case acquired:
                    std::cout << "working\n";
                    queue.release(lock, released);
                    break;
                case lost:
                    std::cout << "lost: " << consul_locks::name(*event->lost_reason()) << '\n';
                    return 1;
                case released:
                    std::cout << "released\n";
                    return 0;
                }
            }
        }
    } catch (const consul_locks::error &error) {
        std::cerr << consul_locks::name(error.code()) << ": " << error.what() << '\n';
        return 1;
    }
}
