// What the C++ tests share: checks that say where and why.
#pragma once

#include <consul_lock.hpp>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <thread>
#include <utility>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

#define NEVER(why)                                                                                 \
    do {                                                                                           \
        std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, why);                              \
        std::exit(1);                                                                              \
    } while (0)

// Waits until a condition holds.
template <class F> void eventually(F &&is_so) {
    for (int tries = 0; !is_so(); tries++) {
        CHECK(tries < 3000);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

// A value that another thread sets once, and that this one waits for.
template <class T> class awaited {
  public:
    template <class... A> void tell(A &&...what) { told_.set_value(T{std::forward<A>(what)...}); }
    T get() {
        std::future<T> future = told_.get_future();
        CHECK(future.wait_for(std::chrono::seconds(30)) == std::future_status::ready);
        return future.get();
    }

  private:
    std::promise<T> told_;
};
