// The scoped form in C++: take the lock, run the block, release, also when the block throws.
#include <consul_lock.hpp>

#include <chrono>
#include <cstdio>

int main()
{
    using namespace std::chrono_literals;
    consul_locks::options patient;
    patient.acquire_timeout(10s).lock_timeout(60s);
    try {
        auto lines = consul_locks::hold("hold-example", patient, [](consul_locks::lock &lock) {
            std::printf("%s is ours, fencing token %llu\n", lock.key().c_str(),
                        static_cast<unsigned long long>(lock.fencing_token()));
            return 42;
        });
        std::printf("wrote %d lines\n", lines);
    } catch (const consul_locks::error &error) {
        std::fprintf(stderr, "%s: %s\n", consul_lock_status_name(error.code()), error.what());
        return 1;
    }
}
