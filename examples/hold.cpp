// The scoped form in C++: takes the lock, runs the block, and releases the lock, also when the
// block throws.
#include <consul_lock.hpp>

#include <chrono>
#include <cstdio>

int main()
{
    using namespace std::chrono_literals;
    const auto patient = consul_locks::options().acquire_timeout(10s).lock_timeout(60s);
    try {
        auto lines = consul_locks::hold("hold-example", patient, [](consul_locks::lock &lock) {
            std::printf("%s is ours, fencing token %llu\n", lock.key().c_str(),
                        static_cast<unsigned long long>(lock.fencing_token()));
            return 42;
        });
        std::printf("wrote %d lines\n", lines);
    } catch (const consul_locks::error &error) {
        std::fprintf(stderr, "%s: %s\n", consul_locks::name(error.code()), error.what());
        return 1;
    }
}
