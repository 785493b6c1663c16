// consul_lock.hpp without exceptions and without RTTI, on a real Consul.
#include <consul_lock.hpp>

#include <cstdio>
#include <cstdlib>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

int main() {
    consul_locks::failure why;
    consul_locks::options options;
    options.lock_timeout(std::chrono::seconds(30));
    auto lock = consul_locks::lock::make("plain/key", options, why);
    CHECK(lock && !why && why.code() == CONSUL_LOCK_OK);
    CHECK(lock->acquire(why) == CONSUL_LOCK_OK && !why);
    auto holder = consul_locks::holder("plain/key", nullptr, why);
    CHECK(holder && !why && holder->session == lock->session_id());

    bool ran = false;
    CHECK(consul_locks::hold(
              "plain/key", options, [&] { ran = true; }, why) == CONSUL_LOCK_NOT_ACQUIRED);
    CHECK(!ran && why && why.retryable() && *why.message() != '\0');
    CHECK(lock->release(why) == CONSUL_LOCK_OK);
    CHECK(lock->release(why) == CONSUL_LOCK_NOT_HELD && why.code() == CONSUL_LOCK_NOT_HELD);
    CHECK(consul_locks::hold(
              "plain/key", options, [&] { ran = true; }, why) == CONSUL_LOCK_OK);
    CHECK(ran && !why);

    CHECK(!consul_locks::lock::make(std::string("a\0b", 3), options, why));
    CHECK(why.code() == CONSUL_LOCK_INVALID_ARGUMENT);
    options.set("nonsense", 1);
    CHECK(!consul_locks::client::make(options, why));
    CHECK(why.code() == CONSUL_LOCK_INVALID_OPTION);
    CHECK(consul_lock_shutdown(5000, nullptr) == CONSUL_LOCK_OK);
}
