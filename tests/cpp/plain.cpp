// consul_lock.hpp without exceptions and without RTTI, on a real Consul.
#include "check.hpp"

using namespace std::chrono_literals;

int main() {
    consul_locks::failure why;
    consul_locks::options options;
    options.lock_timeout(30s);
    auto lock = consul_locks::lock::make("plain/key", options, why);
    CHECK(lock && !why && why.code() == CONSUL_LOCK_OK);
    CHECK(!lock->release(why) && why.code() == CONSUL_LOCK_NOT_HELD);
    CHECK(lock->set_value("plain", why));
    CHECK(lock->acquire(why) && !why);
    CHECK(!lock->acquire(why) && why.code() == CONSUL_LOCK_ALREADY_USED);
    CHECK(lock->renew(why) && lock->check(why));
    CHECK(lock->put_if_held("plain/data", "value", why));
    CHECK(lock->delete_if_held("plain/data", why));
    auto holder = consul_locks::holder("plain/key", nullptr, why);
    CHECK(holder && !why && holder->session == lock->session_id() && holder->value == "plain");

    bool ran = false;
    CHECK(!consul_locks::hold(
        "plain/key", options, [&] { ran = true; }, why));
    CHECK(!ran && why.code() == CONSUL_LOCK_NOT_ACQUIRED);
    CHECK(why && why.retryable() && *why.message() != '\0' && why.http_status() == 0);
    CHECK(lock->release(why) && !why);
    CHECK(!lock->release(why) && why.code() == CONSUL_LOCK_NOT_HELD);
    CHECK(consul_locks::hold(
        "plain/key", options, [&] { ran = true; }, why));
    CHECK(ran && !why);
    CHECK(consul_locks::hold(
        "plain/key", options, [&](consul_locks::lock &held) { CHECK(held.release(why)); }, why));

    awaited<consul_lock_status> acquired, told;
    auto other = consul_locks::lock::make("plain/key", options, why);
    auto tell = [](auto &where) {
        return [&where](consul_locks::failure of) { where.tell(of.code()); };
    };
    CHECK(other->on_lost([](consul_lock_lost_reason) { NEVER("never lost"); }, why));
    CHECK(other->acquire_start(tell(acquired), why) && acquired.get() == CONSUL_LOCK_OK);
    CHECK(other->release_start(tell(told), why) && told.get() == CONSUL_LOCK_OK);
    CHECK(!other->acquire_start(std::function<void(consul_locks::failure)>(), why));
    CHECK(why.code() == CONSUL_LOCK_INVALID_ARGUMENT);

    const auto share = consul_locks::options().lock_timeout(30s).share().limit(2);
    auto turned = consul_locks::lock::make("plain/share", share, why);
    CHECK(turned->acquire(why) && turned->slot() && turned->upgrade(0ms, why) && !turned->slot());
    CHECK(!turned->upgrade(0ms, why) && why.code() == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(turned->downgrade(why) && turned->release(why));
    CHECK(consul_locks::hold(
        {"plain/a", "plain/b"}, options,
        [&](consul_locks::lock &held) { CHECK(held.keys().size() == 2); }, why));
    CHECK(!consul_locks::lock::make({"plain/a", "plain/b"}, share, why));
    CHECK(why.code() == CONSUL_LOCK_INVALID_OPTION);

    consul_locks::set_value_generator([] { return std::optional<std::string>(); });
    auto unused = consul_locks::lock::make("plain/key", options, why);
    CHECK(!unused->acquire(why) && why.code() == CONSUL_LOCK_VALUE_FAILED);
    consul_locks::set_value_generator(nullptr);

    CHECK(!consul_locks::lock::make(std::string("a\0b", 3), options, why));
    CHECK(why.code() == CONSUL_LOCK_INVALID_ARGUMENT);
    CHECK(!consul_locks::set_default("nonsense", true, why));
    CHECK(why.code() == CONSUL_LOCK_INVALID_OPTION);
    options.set("nonsense", 1);
    CHECK(!consul_locks::client::make(options, why));
    CHECK(why.code() == CONSUL_LOCK_INVALID_OPTION);
    CHECK(consul_locks::client::make(consul_locks::options(), why));
    CHECK(consul_locks::shutdown(5s, why));
}
