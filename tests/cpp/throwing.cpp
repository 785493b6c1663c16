// A callable throws, and no exception crosses C. A completion, a notice or a listener ends the
// program in std::terminate, as with std::thread. A value generator has no value.
#include "check.hpp"

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using consul_locks::failure;
using consul_locks::lock;

constexpr int terminated = 42;

// Runs a block in a child, which must end in std::terminate.
template <class F> static void ends_in_terminate(const char *what, F &&block) {
    const pid_t child = ::fork();
    CHECK(child >= 0);
    if (child == 0) {
        ::alarm(30);
        std::set_terminate([] { ::_exit(terminated); });
        block();
        std::this_thread::sleep_for(25s);
        ::_exit(0);
    }
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != terminated) {
        std::fprintf(stderr, "%s: ended with %x\n", what, static_cast<unsigned>(status));
        std::exit(1);
    }
}

// Makes a lock whose loss a check would find.
static void lose(lock &lost) {
    lock guard("cpp/throwing-guard");
    guard.acquire();
    lost.acquire();
    guard.delete_if_held(lost.key());
}

int main() {
    ends_in_terminate("a completion", [] {
        lock unheld("cpp/throwing-1");
        unheld.check_start([](failure why) { throw consul_locks::error(why); });
        std::this_thread::sleep_for(20s);
    });
    ends_in_terminate("a completion of holder", [] {
        consul_locks::holder_start("cpp/throwing-2", nullptr, [](auto, failure) { throw 1; });
    });
    ends_in_terminate("a completion of shutdown",
                      [] { consul_locks::shutdown_start(1s, [](failure) { throw 1; }); });
    ends_in_terminate("a lost notice", [] {
        lock lost("cpp/throwing-3");
        lost.on_lost([] { throw 1; });
        lose(lost);
        failure why;
        lost.check(why);
        std::this_thread::sleep_for(20s);
    });
    ends_in_terminate("a listener of the log", [] {
        consul_locks::on_log(CONSUL_LOCK_LOG_LEVEL_ERROR,
                             [](consul_lock_log_level, std::string_view) { throw 1; });
        lock lost("cpp/throwing-4");
        lose(lost);
        failure why;
        lost.check(why);
        std::this_thread::sleep_for(20s);
    });

    consul_locks::set_value_generator([]() -> std::string { throw 1; });
    lock unused("cpp/throwing-5");
    failure why;
    CHECK(!unused.acquire(why) && why.code() == CONSUL_LOCK_VALUE_FAILED && why.cause());
    consul_locks::set_value_generator(nullptr);
    CHECK(unused.release(why) || why.code() == CONSUL_LOCK_NOT_HELD);
}
