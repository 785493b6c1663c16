// consul_lock.hpp with exceptions, on a real Consul.
#include "check.hpp"

#include <cstring>
#include <poll.h>
#include <stdexcept>
#include <type_traits>

using namespace std::chrono_literals;
using namespace std::string_literals;

static_assert(!std::is_copy_constructible_v<consul_locks::lock>);
static_assert(std::is_nothrow_move_constructible_v<consul_locks::lock>);
static_assert(std::is_nothrow_move_assignable_v<consul_locks::lock>);
static_assert(std::is_nothrow_move_constructible_v<consul_locks::client>);
static_assert(std::is_nothrow_move_constructible_v<consul_locks::options>);
static_assert(std::is_nothrow_move_constructible_v<consul_locks::failure>);
static_assert(std::is_nothrow_copy_constructible_v<consul_locks::error>);

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
    CHECK(!holder->name.empty() && !holder->node.empty());
    CHECK(holder->fencing_token == lock.fencing_token() && holder->ttl == 1min);
    CHECK(!holder->since); // another value is stored
    lock.renew();
    lock.check();

    consul_locks::lock other("cpp/life");
    CHECK(!other.try_acquire());
    CHECK(thrown([&] { other.acquire(); }) == CONSUL_LOCK_ALREADY_USED);
    CHECK(thrown([&] { lock.set_value("too late"); }) == CONSUL_LOCK_ALREADY_USED);

    consul_locks::lock moved = std::move(lock);
    CHECK(moved.is_held());
    CHECK(moved.release() && !moved.release());
    CHECK(!consul_locks::holder("cpp/life"));
    {
        consul_locks::lock plain("cpp/life");
        plain.acquire();
        const auto age =
            std::chrono::system_clock::now() - *consul_locks::holder("cpp/life")->since;
        CHECK(age > -1s && age < 1min);
    }
    consul_locks::lock("cpp/life").acquire(); // the destructor releases it
    CHECK(!consul_locks::holder("cpp/life"));
}

// Setters of a temporary chain, and nothing dangles.
static void chained() {
    auto patient = consul_locks::options().acquire_timeout(20s).set("monitor", false).value("mine");
    consul_locks::lock lock("cpp/chained", patient);
    lock.acquire();
    CHECK(consul_locks::holder("cpp/chained")->value == "mine");
    consul_locks::lock other("cpp/chained", consul_locks::options().lock_timeout(30s));
    CHECK(!other.try_acquire());
}

// The exception of a loss has the reason.
static void lost_and_thrown() {
    consul_locks::lock lock("cpp/lost-and-thrown");
    consul_locks::lock thief("cpp/thief");
    lock.acquire();
    thief.acquire();
    CHECK(!lock.lost_reason());
    thief.delete_if_held("locks/ephemeral/cpp/lost-and-thrown");
    try {
        lock.check();
        CHECK(false);
    } catch (const consul_locks::error &error) {
        CHECK(error.lost_reason() == CONSUL_LOCK_LOST_REASON_KEY_GONE);
        CHECK(consul_locks::name(*error.lost_reason()) == "KEY_GONE"s);
    }
    CHECK(lock.lost_reason() == CONSUL_LOCK_LOST_REASON_KEY_GONE && !thief.lost_reason());
}

#if defined(__cpp_lib_jthread)
// A stop ends the wait of the scoped form.
static void stopped_hold() {
    consul_locks::lock first("cpp/stopped-hold");
    first.acquire();
    std::stop_source source;
    std::jthread stopper([&] {
        std::this_thread::sleep_for(100ms);
        source.request_stop();
    });
    const auto forever = consul_locks::options().acquire_timeout(consul_locks::options::forever);
    CHECK(thrown([&] {
              consul_locks::hold("cpp/stopped-hold", forever, source.get_token(),
                                 [] { CHECK(false); });
          }) == CONSUL_LOCK_CANCELLED);
    first.release();
    CHECK(consul_locks::hold("cpp/stopped-hold", forever, std::stop_token(), [] { return 7; }) ==
          7);
}
#endif

// The next event, as an event loop takes it.
static consul_locks::event next(consul_locks::queue &queue) {
    for (;;) {
        if (auto event = queue.next()) {
            return std::move(*event);
        }
        pollfd wanted = {queue.fd(), POLLIN, 0};
        CHECK(poll(&wanted, 1, 20000) == 1);
    }
}

static void queues() {
    consul_locks::failure why;
    consul_locks::queue queue;
    consul_locks::lock lock("cpp/queue"), thief("cpp/queue-thief");
    CHECK(queue.on_lost(lock, 9, why) && queue.acquire(lock, 1, why));
    consul_locks::event event = next(queue);
    CHECK(event.kind() == CONSUL_LOCK_EVENT_DONE && event.tag() == 1 && !event.outcome());
    CHECK(lock.is_held() && queue.holder("cpp/queue", nullptr, 2, why));
    event = next(queue);
    CHECK(event.kind() == CONSUL_LOCK_EVENT_HOLDER && event.tag() == 2);
    CHECK(event.holder()->fencing_token == lock.fencing_token());
    thief.acquire();
    thief.delete_if_held("locks/ephemeral/cpp/queue");
    CHECK(queue.check(lock, 3, why));
    for (int left = 2; left > 0; left--) {
        event = next(queue);
        if (event.kind() == CONSUL_LOCK_EVENT_LOST) {
            CHECK(event.tag() == 9);
            CHECK(event.lost_reason() == CONSUL_LOCK_LOST_REASON_KEY_GONE);
        } else {
            CHECK(event.tag() == 3 && event.outcome().code() == CONSUL_LOCK_LOST);
        }
    }
    CHECK(!queue.next());
    consul_locks::queue moved = std::move(queue);
    CHECK(!queue.renew(thief, 4, why) && queue.fd() == -1);                        // NOLINT
    CHECK(thrown([&] { queue.renew(thief, 4); }) == CONSUL_LOCK_INVALID_ARGUMENT); // NOLINT
    moved.bind(thief);
    moved.renew(thief, 5);
    CHECK(!next(moved).outcome());
    moved.check(thief, 6);
    CHECK(!next(moved).outcome());
    moved.holder("cpp/queue-thief", nullptr, 7);
    CHECK(next(moved).holder()->fencing_token == thief.fencing_token());
    moved.release(thief, 8);
    CHECK(!next(moved).outcome());
    consul_locks::lock last("cpp/queue-last");
    moved.on_lost(last, 9);
    moved.acquire(last, 10);
    CHECK(!next(moved).outcome() && last.is_held());
}

// An object that was moved from fails with a message that says so.
static void observers_and_holders() {
    consul_locks::failure why;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::string> told;
    const auto heard = [&](std::size_t count) {
        std::unique_lock guard(mutex);
        CHECK(changed.wait_for(guard, 20s, [&] { return told.size() >= count; }));
        return told.back();
    };
    const auto hear = [&](std::optional<consul_locks::holder_info> holder,
                          consul_locks::failure failed) {
        CHECK(!failed);
        const std::lock_guard guard(mutex);
        told.push_back(holder ? holder->session : "free");
        changed.notify_all();
    };
    consul_locks::lock lock("cpp/observe");
    {
        auto observer = consul_locks::observe("cpp/observe", hear);
        CHECK(heard(1) == "free");
        lock.acquire();
        CHECK(heard(2) == lock.session_id());
        const auto moved = std::move(observer);
    }
    const auto holders = consul_locks::holders("cpp/observe");
    CHECK(holders.exclusive && holders.exclusive->session == lock.session_id());
    CHECK(holders.sharers.empty() && holders.line.empty());
    consul_locks::queue queue;
    {
        const auto observer = queue.observe("cpp/observe", nullptr, 5);
        consul_locks::event event = next(queue);
        CHECK(event.kind() == CONSUL_LOCK_EVENT_OBSERVED && event.tag() == 5 && !event.outcome());
        CHECK(event.holder()->session == lock.session_id());
    }
    queue.holders("cpp/observe", nullptr, 6);
    consul_locks::event event = next(queue);
    CHECK(event.kind() == CONSUL_LOCK_EVENT_HOLDERS && !event.outcome());
    CHECK(event.holders().exclusive->fencing_token == lock.fencing_token());
    CHECK(!consul_locks::observer::make("", nullptr, hear, why));
    CHECK(why.code() == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([] { consul_locks::holders(""); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    std::promise<consul_locks::holders_info> answer;
    consul_locks::holders_start("cpp/observe", nullptr, [&](auto found, auto failed) {
        CHECK(!failed);
        answer.set_value(std::move(found));
    });
    CHECK(answer.get_future().get().exclusive);
    lock.release();
    CHECK(told.size() == 2);
}

static void moved_from() {
    consul_locks::lock lock("cpp/moved");
    consul_locks::lock there = std::move(lock);
    CHECK(thrown([&] { lock.acquire(); }) == CONSUL_LOCK_INVALID_ARGUMENT); // NOLINT
    consul_locks::failure why;
    CHECK(!lock.renew(why) && std::strstr(why.message(), "the lock was moved from") != nullptr);
    CHECK(!lock.on_lost([] {}, why) && std::strstr(why.message(), "was moved from") != nullptr);
    CHECK(!lock.check_start([](const consul_locks::failure &) {}, why));
    CHECK(!lock.is_held() && lock.key().empty() && lock.remaining() == 0ms);
    there.acquire();
    there = consul_locks::lock("cpp/other"); // releases the lock that it was
    CHECK(!consul_locks::holder("cpp/moved") && there.key() == "locks/ephemeral/cpp/other");

    consul_locks::client client;
    consul_locks::client elsewhere = std::move(client);
    consul_locks::options options;
    options.use(client); // NOLINT
    CHECK(thrown([&] { consul_locks::lock("cpp/moved", options); }) ==
          CONSUL_LOCK_INVALID_ARGUMENT);
    consul_locks::options empty = std::move(options);
    CHECK(thrown([&] { consul_locks::lock("cpp/moved", options); }) == // NOLINT
          CONSUL_LOCK_INVALID_ARGUMENT);
}

static void scopes() {
    int number = 7;
    CHECK(consul_locks::hold("cpp/hold", [] { return 42; }) == 42);
    int &same = consul_locks::hold("cpp/hold", [&]() -> int & { return number; });
    CHECK(&same == &number);
    auto alone = consul_locks::hold("cpp/hold", [] { return std::make_unique<int>(5); });
    CHECK(*alone == 5);
    consul_locks::hold("cpp/hold", [](consul_locks::lock &lock) { CHECK(lock.is_held()); });
    consul_locks::hold("cpp/hold", [](consul_locks::lock &lock) { lock.release(); });
    consul_locks::options brief; // its session is left to its TTL
    brief.lock_timeout(std::chrono::seconds(10));
    consul_locks::hold("cpp/abandoned", brief, [](consul_locks::lock &lock) { lock.abandon(); });
    CHECK(consul_locks::holder("cpp/abandoned"));
    consul_locks::hold("cpp/guard", [](consul_locks::lock &guard) {
        guard.delete_if_held("locks/ephemeral/cpp/abandoned"); // for the next run
    });
    std::optional<consul_locks::lock> out;
    const auto take = [&](consul_locks::lock &lock) { return out.emplace(std::move(lock)).key(); };
    CHECK(consul_locks::hold("cpp/hold", take) == "locks/ephemeral/cpp/hold" && out->is_held());
    out.reset();
    bool own = false;
    try {
        consul_locks::hold("cpp/hold", [] { throw std::out_of_range("the block's own"); });
    } catch (const std::out_of_range &) {
        own = true;
    }
    CHECK(own && !consul_locks::holder("cpp/hold"));
    consul_locks::hold("cpp/hold", [] {
        auto again = [] { consul_locks::hold("cpp/hold", [] { NEVER("twice"); }); };
        CHECK(thrown(again) == CONSUL_LOCK_NOT_ACQUIRED);
    });
}

static void refusals() {
    CHECK(thrown([] { consul_locks::lock("a\0b"s); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([] { consul_locks::lock(""); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([] { consul_locks::holder("a\0b"s); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    auto wrong = [](auto set) {
        consul_locks::options options;
        set(options);
        return thrown([&] { consul_locks::lock("cpp/refused", options); });
    };
    const auto refused = CONSUL_LOCK_INVALID_OPTION;
    CHECK(wrong([](auto &o) { o.set("nonsense", "1"); }) == refused);
    CHECK(wrong([](auto &o) { o.set("nonsense\0"s, "1"); }) == refused);
    CHECK(wrong([](auto &o) { o.lock_timeout(1s); }) == refused);
    CHECK(wrong([](auto &o) { o.set("value", "a\0b"s); }) == refused);
    CHECK(wrong([](auto &o) { o.address("127.0.0.1:1"); }) == refused);
    CHECK(wrong([](auto &o) { o.set("acquire_timeout_ms", UINT64_MAX); }) == refused);
    CHECK(wrong([](auto &o) { o.set("acquire_timeout_ms", "soon"); }) == refused);
    CHECK(wrong([](auto &o) { o.set("auto_renew", 2); }) == refused);
    CHECK(wrong([](auto &o) { o.acquire_timeout(o.forever); }) == CONSUL_LOCK_OK);
    CHECK(wrong([](auto &o) { o.set("acquire_timeout_ms", 5U).set("fair", false); }) ==
          CONSUL_LOCK_OK);
    CHECK(wrong([](auto &o) { o.set("auto_renew", "true").set("monitor", true); }) ==
          CONSUL_LOCK_OK);
    CHECK(wrong([](auto &o) { o.monitor(false).fair().queue_grace(1s).max_lifetime(1h); }) ==
          CONSUL_LOCK_OK);
    CHECK(thrown([] { consul_locks::set_default("value", "1"); }) == refused);
    CHECK(thrown([] { consul_locks::set_default("lock_timeout_seconds", 9); }) == refused);
    CHECK(thrown([] { consul_locks::set_default("lock_key_pattern", "a\0%s"s); }) == refused);
    consul_locks::set_default("lock_timeout_seconds", 180);
}

static void clients_and_generators() {
    consul_locks::options nowhere;
    nowhere.address("127.0.0.1:1").connect_timeout(200ms).request_timeout(500ms);
    consul_locks::client client(nowhere);
    consul_locks::options options;
    options.use(client);
    consul_locks::lock lock("cpp/nowhere", options);
    CHECK(thrown([&] { lock.acquire(); }) == CONSUL_LOCK_UNAVAILABLE);
    CHECK(client.stats().find("\"unanswered\":") != std::string::npos);
    client.make_default();
    consul_locks::lock same("cpp/nowhere");
    CHECK(thrown([&] { same.acquire(); }) == CONSUL_LOCK_UNAVAILABLE);
    // A client that was moved from does not stand for the default client.
    consul_locks::client there = std::move(client);
    CHECK(client.stats().empty()); // NOLINT
    CHECK(thrown([&] { consul_locks::holder("cpp/nowhere", &client); }) ==
          CONSUL_LOCK_INVALID_ARGUMENT);
    client.make_default();
    CHECK(thrown([&] { consul_locks::holder("cpp/nowhere"); }) == CONSUL_LOCK_UNAVAILABLE);
    consul_locks::reset_default_client();

    consul_locks::set_value_generator([] { return "generated"s; });
    consul_locks::hold("cpp/value", [] {
        CHECK(consul_locks::holder("cpp/value")->value == "generated");
        CHECK(consul_locks::stats().find("\"held\":1") != std::string::npos);
    });
    consul_locks::lock given("cpp/value");
    given.set_value("given\0too"s);
    given.acquire();
    CHECK(consul_locks::holder("cpp/value")->value == "given\0too"s);
    given.release();

    consul_locks::set_value_generator([]() -> std::string { throw std::out_of_range("own"); });
    consul_locks::lock unused("cpp/value");
    try {
        unused.acquire();
        NEVER("no value");
    } catch (const consul_locks::error &error) {
        CHECK(error.code() == CONSUL_LOCK_VALUE_FAILED && error.cause());
        bool own = false;
        try {
            std::rethrow_exception(error.cause());
        } catch (const std::out_of_range &) {
            own = true;
        }
        CHECK(own);
    }
    consul_locks::set_value_generator(
        [kept = std::make_unique<int>(1)] { return std::optional<std::string>(); });
    try {
        consul_locks::lock("cpp/value").acquire();
        NEVER("no value");
    } catch (const consul_locks::error &error) {
        CHECK(error.code() == CONSUL_LOCK_VALUE_FAILED && !error.cause());
    }
    consul_locks::set_value_generator([] { return std::string(CONSUL_LOCK_MAX_VALUE + 1, 'v'); });
    try {
        consul_locks::lock("cpp/value").acquire();
        NEVER("a value that is too long");
    } catch (const consul_locks::error &error) {
        CHECK(error.code() == CONSUL_LOCK_VALUE_FAILED && error.cause());
    }
    consul_locks::set_value_generator(nullptr);
}

static void writes_and_losses() {
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
    CHECK(thrown([&] { lock.delete_if_held("a\0b"s); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    awaited<consul_lock_lost_reason> reason;
    lock.on_lost([&, only_moves = std::make_unique<int>(1)](consul_lock_lost_reason why) {
        reason.tell(why);
    });
    guard.delete_if_held(lock.key());
    CHECK(thrown([&] { lock.check(); }) == CONSUL_LOCK_LOST);
    CHECK(reason.get() == CONSUL_LOCK_LOST_REASON_KEY_GONE);
    awaited<int> late;
    lock.on_lost([&] { late.tell(5); });
    CHECK(late.get() == 5);

    // The library frees a callable after its last call.
    auto counted = std::make_shared<int>(1);
    guard.on_lost([counted](consul_lock_lost_reason) { NEVER("never lost"); });
    CHECK(counted.use_count() == 2);
    guard.on_lost(nullptr);
    eventually([&] { return counted.use_count() == 1; });
    guard.on_lost(std::function<void()>());
}

static void without_waiting() {
    using consul_locks::failure;
    consul_locks::lock lock("cpp/async");
    auto ends_with = [](consul_lock_status wanted, auto start) {
        awaited<failure> outcome;
        start([&, only_moves = std::make_unique<int>(1)](failure why) {
            outcome.tell(std::move(why));
        });
        failure why = outcome.get();
        CHECK(why.code() == wanted && (*why.message() == '\0') == !why);
    };
    ends_with(CONSUL_LOCK_OK, [&](auto done) { lock.acquire_start(std::move(done)); });
    ends_with(CONSUL_LOCK_OK, [&](auto done) { lock.renew_start(std::move(done)); });
    ends_with(CONSUL_LOCK_OK, [&](auto done) { lock.check_start(std::move(done)); });
    ends_with(CONSUL_LOCK_OK,
              [&](auto done) { lock.put_if_held_start("cpp/data", "v", std::move(done)); });
    ends_with(CONSUL_LOCK_OK,
              [&](auto done) { lock.delete_if_held_start("cpp/data", std::move(done)); });

    awaited<std::pair<std::optional<consul_locks::holder_info>, failure>> holder;
    consul_locks::holder_start("cpp/async", nullptr,
                               [&](std::optional<consul_locks::holder_info> found, failure why) {
                                   holder.tell(std::move(found), std::move(why));
                               });
    auto [found, why] = holder.get();
    CHECK(found && !why && found->session == lock.session_id());

    consul_locks::lock other("cpp/async");
    ends_with(CONSUL_LOCK_NOT_ACQUIRED, [&](auto done) { other.acquire_start(std::move(done)); });
    ends_with(CONSUL_LOCK_OK, [&](auto done) { lock.release_start(std::move(done)); });
    ends_with(CONSUL_LOCK_NOT_HELD, [&](auto done) { lock.renew_start(std::move(done)); });

    // The completion may destroy the lock.
    auto own = std::make_unique<consul_locks::lock>("cpp/async");
    ends_with(CONSUL_LOCK_OK, [&](auto done) {
        own->acquire_start([&own, done = std::move(done)](failure of) mutable {
            own.reset();
            done(std::move(of));
        });
    });
    CHECK(!consul_locks::holder("cpp/async"));

    // The destructor of a lock ends its pending acquire, which reports CANCELLED.
    consul_locks::options patient;
    patient.acquire_timeout(patient.forever);
    consul_locks::hold("cpp/async", [&] {
        ends_with(CONSUL_LOCK_CANCELLED, [&](auto done) {
            consul_locks::lock("cpp/async", patient).acquire_start(std::move(done));
        });
        ends_with(CONSUL_LOCK_CANCELLED, [&](auto done) {
            consul_locks::lock waiter("cpp/async", patient);
            waiter.acquire_start(std::move(done));
            waiter.abandon();
        });
        ends_with(CONSUL_LOCK_CANCELLED, [&](auto done) {
            consul_locks::lock waiter("cpp/async", patient);
            waiter.acquire_start(std::move(done));
            waiter.cancel();
        });
    });

    // A call that cannot begin throws, and its completion is never called.
    auto never = [](failure) { NEVER("never begun"); };
    CHECK(thrown([&] { lock.put_if_held_start("a\0b"s, "v", never); }) ==
          CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([&] { lock.delete_if_held_start("a\0b"s, never); }) ==
          CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([&] { lock.check_start(std::function<void(failure)>()); }) ==
          CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(thrown([&] { consul_locks::holder_start("", nullptr, [](auto, failure) {}); }) ==
          CONSUL_LOCK_INVALID_ARGUMENT);
    consul_locks::lock gone = std::move(lock);
    CHECK(thrown([&] { lock.acquire_start(never); }) == CONSUL_LOCK_INVALID_ARGUMENT); // NOLINT
}

static void the_log() {
    using consul_locks::on_log;
    awaited<std::string> line;
    auto counted = std::make_shared<int>(1);
    on_log(CONSUL_LOCK_LOG_LEVEL_ERROR,
           [&, counted](consul_lock_log_level level, std::string_view text) {
               CHECK(level == CONSUL_LOCK_LOG_LEVEL_ERROR);
               line.tell(text);
           });
    consul_locks::options options;
    options.monitor(false);
    consul_locks::lock guard("cpp/guard");
    consul_locks::lock lock("cpp/logged", options);
    guard.acquire();
    lock.acquire();
    guard.delete_if_held(lock.key());
    CHECK(thrown([&] { lock.release(); }) == CONSUL_LOCK_LOST);
    CHECK(line.get().find("cpp/logged") != std::string::npos);
    on_log(CONSUL_LOCK_LOG_LEVEL_ERROR, nullptr);
    eventually([&] { return counted.use_count() == 1; }); // when its last call is over
}

#if defined(__cpp_lib_jthread)
static void stop_tokens() {
    consul_locks::options patient;
    patient.acquire_timeout(patient.forever);
    consul_locks::hold("cpp/stop", [&] {
        consul_locks::lock waiter("cpp/stop", patient);
        std::stop_source source;
        std::jthread later([&] {
            std::this_thread::sleep_for(300ms);
            source.request_stop();
        });
        CHECK(thrown([&] { waiter.acquire(source.get_token()); }) == CONSUL_LOCK_CANCELLED);
        consul_locks::lock tried("cpp/stop", patient);
        CHECK(thrown([&] { (void)tried.try_acquire(source.get_token()); }) ==
              CONSUL_LOCK_CANCELLED);
    });
    consul_locks::lock guard("cpp/guard");
    guard.acquire();
    auto lost = [&] {
        consul_locks::hold("cpp/stop", [&](consul_locks::lock &lock, std::stop_token stop) {
            CHECK(!stop.stop_requested());
            guard.delete_if_held(lock.key());
            CHECK(thrown([&] { lock.check(); }) == CONSUL_LOCK_LOST);
            eventually([&] { return stop.stop_requested(); });
        });
    };
    CHECK(thrown(lost) == CONSUL_LOCK_LOST);
}
#endif

static void the_end() {
    CHECK(consul_locks::version() == std::string(CONSUL_LOCK_VERSION));
    CHECK(consul_locks::is_compatible());
    CHECK(thrown([] { consul_locks::shutdown(-1ms); }) == CONSUL_LOCK_INVALID_ARGUMENT);
    awaited<consul_locks::failure> over;
    consul_locks::shutdown_start(5s, [&](consul_locks::failure why) { over.tell(std::move(why)); });
    CHECK(!over.get());
    consul_locks::shutdown(5s);
}

int main() {
    a_life();
    moved_from();
    chained();
    queues();
    observers_and_holders();
    lost_and_thrown();
#if defined(__cpp_lib_jthread)
    stopped_hold();
#endif
    writes_and_losses();
    scopes();
    refusals();
    clients_and_generators();
    without_waiting();
    the_log();
#if defined(__cpp_lib_jthread)
    stop_tokens();
#endif
    the_end();
}
