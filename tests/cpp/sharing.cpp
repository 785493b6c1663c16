// consul_lock.hpp: locks that share their key, downgrade and upgrade, locks on several keys.
#include "check.hpp"

#include <array>
#include <cstring>
#include <poll.h>
#include <vector>

using namespace std::chrono_literals;
using namespace std::string_literals;
using consul_locks::lock;
using consul_locks::options;

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

static lock held(const char *key, const options &from = options()) {
    lock made(key, from);
    made.acquire();
    return made;
}

static bool is_free(const char *key, const options &from = options()) {
    return lock(key, from).try_acquire();
}

static void readers_and_a_writer() {
    const auto share = options().share();
    lock one = held("cpp/share", share), two = held("cpp/share", share);
    CHECK(one.is_held() && two.is_held() && !one.slot());
    CHECK(!is_free("cpp/share"));
    one.release();
    CHECK(!is_free("cpp/share"));
    two.release();
    consul_locks::hold("cpp/share", [&] { CHECK(!is_free("cpp/share", share)); });
    CHECK(is_free("cpp/share", share) && is_free("cpp/share"));
}

static void a_limit() {
    const auto limited = options().mode(consul_locks::mode::share).limit(2);
    consul_locks::hold("cpp/limit", limited, [&](lock &first) {
        lock second = held("cpp/limit", limited);
        CHECK(*first.slot() + *second.slot() == 1 && first.slot() != second.slot());
        CHECK(!is_free("cpp/limit", limited));
        try {
            held("cpp/limit", options().share().limit(3));
            NEVER("another limit");
        } catch (const consul_locks::error &error) {
            CHECK(error.code() == CONSUL_LOCK_CONFLICT);
            CHECK(consul_locks::name(error.code()) == "CONFLICT"s);
            CHECK(std::strchr(error.what(), '2') && std::strchr(error.what(), '3'));
        }
    });
    CHECK(thrown([] { lock("cpp/limit", options().share().limit(0)); }) ==
          CONSUL_LOCK_INVALID_OPTION);
    CHECK(!held("cpp/limit", options().share().mode(consul_locks::mode::exclusive)).slot());
}

static void down_and_up() {
    const auto share = options().share().limit(3);
    lock turned("cpp/turn", options().mode(consul_locks::mode::exclusive).limit(3));
    CHECK(thrown([&] { turned.downgrade(); }) == CONSUL_LOCK_NOT_HELD);
    CHECK(thrown([&] { turned.upgrade(0ms); }) == CONSUL_LOCK_NOT_HELD);
    turned.acquire();
    CHECK(thrown([&] { turned.upgrade(0ms); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    std::uint64_t token = turned.fencing_token();
    turned.downgrade();
    CHECK(turned.fencing_token() > token && turned.slot());

    lock other = held("cpp/turn", share);
    CHECK(!turned.try_upgrade(100ms) && turned.is_held());
    CHECK(thrown([&] { turned.upgrade(0ms); }) == CONSUL_LOCK_NOT_ACQUIRED);
    awaited<consul_locks::failure> outcome;
    turned.upgrade_start(options::forever,
                         [&](consul_locks::failure why) { outcome.tell(std::move(why)); });
    turned.cancel();
    CHECK(outcome.get().code() == CONSUL_LOCK_CANCELLED && turned.is_held());
    token = turned.fencing_token();
    other.release();
    turned.upgrade(20s);
    CHECK(turned.fencing_token() > token && !turned.slot());
    CHECK(!is_free("cpp/turn", share));

    awaited<consul_locks::failure> down;
    turned.downgrade_start([&](consul_locks::failure why) { down.tell(std::move(why)); });
    CHECK(!down.get() && is_free("cpp/turn", share));
    lock moved = std::move(turned);
    CHECK(thrown([&] { turned.downgrade(); }) == CONSUL_LOCK_INVALID_ARGUMENT);  // NOLINT
    CHECK(thrown([&] { turned.upgrade(0ms); }) == CONSUL_LOCK_INVALID_ARGUMENT); // NOLINT
    CHECK(!turned.slot() && turned.keys().empty());                              // NOLINT
}

static consul_locks::event next(consul_locks::queue &queue) {
    for (;;) {
        if (auto event = queue.next()) {
            return std::move(*event);
        }
        pollfd wanted = {queue.fd(), POLLIN, 0};
        CHECK(poll(&wanted, 1, 20000) == 1);
    }
}

static void down_and_up_as_events() {
    lock turned = held("cpp/turn");
    consul_locks::queue queue;
    queue.downgrade(turned, 1);
    consul_locks::event event = next(queue);
    CHECK(event.tag() == 1 && !event.outcome() && is_free("cpp/turn", options().share()));
    queue.upgrade(turned, 0ms, 2);
    event = next(queue);
    CHECK(event.tag() == 2 && !event.outcome() && !is_free("cpp/turn", options().share()));
    CHECK(thrown([&] { queue.upgrade(turned, -2ms, 3); }) == CONSUL_LOCK_INVALID_ARGUMENT);
}

#if defined(__cpp_lib_jthread)
static void a_stop_ends_an_upgrade() {
    const auto share = options().share();
    lock one = held("cpp/stop", share), two = held("cpp/stop", share);
    std::stop_source source;
    source.request_stop(); // before the upgrade begins
    CHECK(thrown([&] { one.upgrade(options::forever, source.get_token()); }) ==
          CONSUL_LOCK_CANCELLED);
    source = std::stop_source();
    std::jthread later([&] {
        std::this_thread::sleep_for(300ms);
        source.request_stop();
    });
    CHECK(thrown([&] { (void)one.try_upgrade(options::forever, source.get_token()); }) ==
          CONSUL_LOCK_CANCELLED);
    CHECK(!one.try_upgrade(0ms, std::stop_token()) && one.is_held());
    two.release();
    CHECK(one.try_upgrade(20s, std::stop_token()));

    // The wait for the outcome needs no callback, so it may happen inside of one.
    one.downgrade();
    awaited<bool> inside;
    two = lock("cpp/other");
    two.acquire_start([&](const consul_locks::failure &) {
        inside.tell(one.try_upgrade(20s, std::stop_token()));
    });
    CHECK(inside.get());
}
#endif

// A list in braces, or any range of texts.
static void several_keys() {
    const std::vector<std::string> full = {"locks/ephemeral/cpp/a", "locks/ephemeral/cpp/b"};
    lock both({"cpp/b", "cpp/a", "cpp/b"});
    CHECK(both.keys() == full && both.key() == full[0]);
    both.acquire();
    CHECK(!is_free("cpp/a") && !is_free("cpp/b"));
    const std::array<std::string_view, 2> other = {"cpp/b", "cpp/c"};
    CHECK(!lock(other).try_acquire() && is_free("cpp/c"));
    both.release();
    CHECK(is_free("cpp/a") && is_free("cpp/b"));

    const auto patient = options().acquire_timeout(20s);
    CHECK(consul_locks::hold({"cpp/a", "cpp/b"}, [] { return 7; }) == 7);
    CHECK(consul_locks::hold(other, patient, [](lock &of) { return of.keys().size(); }) == 2);
#if defined(__cpp_lib_jthread)
    consul_locks::hold({"cpp/a", "cpp/b"}, patient, std::stop_token(),
                       [&](lock &of, std::stop_token) { CHECK(of.keys() == full); });
#endif
    const std::string a = "cpp/a";
    CHECK(lock({a}).keys() == lock(a).keys() && lock("cpp/a").keys().size() == 1);
    CHECK(thrown([] { lock(std::vector<std::string>()); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([] { lock({"cpp/a"s, "a\0b"s}); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([] {
              lock({"cpp/a", "cpp/b"}, options().share());
          }) == CONSUL_LOCK_INVALID_OPTION);
}

int main() {
    readers_and_a_writer();
    a_limit();
    down_and_up();
    down_and_up_as_events();
#if defined(__cpp_lib_jthread)
    a_stop_ends_an_upgrade();
#endif
    several_keys();
    consul_locks::shutdown(5s);
}
