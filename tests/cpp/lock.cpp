// consul_lock.hpp with exceptions, on a real Consul.
#include <consul_lock.hpp>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <stdexcept>
#include <type_traits>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<consul_locks::lock>);
static_assert(std::is_nothrow_move_constructible_v<consul_locks::lock>);
static_assert(std::is_nothrow_move_assignable_v<consul_locks::lock>);

// The code with which a block throws a consul_locks::error; OK if it does not.
template <class F> static consul_lock_status thrown(F &&block) {
    try {
        block();
    } catch (const consul_locks::error &error) {
        CHECK(*error.what() != '\0');
        return error.code();
    }
    return CONSUL_LOCK_OK;
}

static void a_life() {
    consul_locks::options options;
    options.lock_timeout(1min).acquire_timeout(0ms).value("by C++");
    consul_locks::lock lock("cpp/life", options);
    CHECK(lock.key() == "locks/ephemeral/cpp/life" && lock.session_id().empty());
    lock.acquire();
    CHECK(lock.is_held() && lock.remaining() > 50s && lock.fencing_token() > 0);
    CHECK(lock.session_id().size() == 36);
    auto holder = consul_locks::holder("cpp/life");
    CHECK(holder && holder->session == lock.session_id() && holder->value == "by C++");
    lock.renew();
    lock.check();

    consul_locks::lock other("cpp/life");
    CHECK(!other.try_acquire());
    CHECK(thrown([&] { other.acquire(); }) == CONSUL_LOCK_ALREADY_USED);

    consul_locks::lock moved = std::move(lock);
    CHECK(moved.is_held() && !lock.is_held());
    CHECK(moved.release() && !moved.release());
    CHECK(!consul_locks::holder("cpp/life"));
    consul_locks::lock("cpp/life").acquire(); // the destructor gives it back
    CHECK(!consul_locks::holder("cpp/life"));
}

static void scopes() {
    int number = 7;
    CHECK(consul_locks::hold("cpp/hold", [] { return 42; }) == 42);
    int &same = consul_locks::hold("cpp/hold", [&]() -> int & { return number; });
    CHECK(&same == &number);
    consul_locks::hold("cpp/hold", [](consul_locks::lock &lock) { CHECK(lock.is_held()); });
    consul_locks::hold("cpp/hold", [](consul_locks::lock &lock) { lock.release(); });
    bool own = false;
    try {
        consul_locks::hold("cpp/hold", [] { throw std::out_of_range("the block's own"); });
    } catch (const std::out_of_range &) {
        own = true;
    }
    CHECK(own && !consul_locks::holder("cpp/hold"));
    consul_locks::hold("cpp/hold", [] {
        auto again = [] { consul_locks::hold("cpp/hold", [] { CHECK(!"twice"); }); };
        CHECK(thrown(again) == CONSUL_LOCK_NOT_ACQUIRED);
    });
}

static void refusals() {
    using namespace std::string_literals;
    CHECK(thrown([] { consul_locks::lock("a\0b"s); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([] { consul_locks::lock(""); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    auto wrong = [](auto set) {
        consul_locks::options options;
        set(options);
        return thrown([&] { consul_locks::lock("cpp/refused", options); });
    };
    CHECK(wrong([](auto &o) { o.set("nonsense", "1"); }) == CONSUL_LOCK_INVALID_OPTION);
    CHECK(wrong([](auto &o) { o.lock_timeout(1s); }) == CONSUL_LOCK_INVALID_OPTION);
    CHECK(wrong([](auto &o) { o.set("value", "a\0b"s); }) == CONSUL_LOCK_INVALID_OPTION);
    CHECK(wrong([](auto &o) { o.address("127.0.0.1:1"); }) == CONSUL_LOCK_INVALID_OPTION);
    CHECK(wrong([](auto &o) { o.acquire_timeout(o.forever); }) == CONSUL_LOCK_OK);
    CHECK(thrown([] { consul_locks::set_default("value", "1"); }) == CONSUL_LOCK_INVALID_OPTION);
}

static void clients_and_generators() {
    consul_locks::options nowhere;
    nowhere.address("127.0.0.1:1").connect_timeout(200ms).request_timeout(500ms);
    consul_locks::client client(nowhere);
    consul_locks::options options;
    options.use(client);
    consul_locks::lock lock("cpp/nowhere", options);
    CHECK(thrown([&] { lock.acquire(); }) == CONSUL_LOCK_UNAVAILABLE);

    consul_locks::set_value_generator([] { return std::optional<std::string>("generated"); });
    consul_locks::hold("cpp/value",
                       [] { CHECK(consul_locks::holder("cpp/value")->value == "generated"); });
    consul_locks::set_value_generator([]() -> std::optional<std::string> { throw 1; });
    CHECK(thrown([] { consul_locks::hold("cpp/value", [] {}); }) == CONSUL_LOCK_VALUE_FAILED);
    consul_locks::set_value_generator(nullptr);
}

static void writes_and_losses() {
    using namespace std::string_literals;
    consul_locks::options options;
    options.auto_renew().max_lifetime(1h);
    consul_locks::lock guard("cpp/guard", options);
    consul_locks::lock lock("cpp/lost", options);
    CHECK(thrown([&] { lock.put_if_held("cpp/data", "v"); }) == CONSUL_LOCK_NOT_HELD);
    guard.acquire();
    lock.acquire();
    lock.put_if_held("cpp/data", "a value");
    lock.delete_if_held("cpp/data");
    CHECK(thrown([&] { lock.put_if_held("a\0b"s, "v"); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    std::promise<consul_lock_lost_reason> promise;
    lock.on_lost([&](consul_lock_lost_reason reason) { promise.set_value(reason); });
    guard.delete_if_held(lock.key());
    CHECK(thrown([&] { lock.check(); }) == CONSUL_LOCK_LOST);
    auto told = promise.get_future();
    CHECK(told.wait_for(20s) == std::future_status::ready);
    CHECK(told.get() == CONSUL_LOCK_LOST_REASON_KEY_GONE);
    guard.on_lost([](consul_lock_lost_reason) { CHECK(!"never lost"); });
    guard.on_lost(nullptr);
}

int main() {
    a_life();
    writes_and_losses();
    scopes();
    refusals();
    clients_and_generators();
    CHECK(consul_lock_shutdown(5000, nullptr) == CONSUL_LOCK_OK);
}
