/*
 * consul_lock.hpp: locks of libconsul_lock as C++17 objects. Header only, over consul_lock.h, which
 * says what the functions mean, and what threads and forks may do.
 *
 *     consul_locks::hold("nightly-report", [] { make_the_report(); });
 *
 *     consul_locks::options patient;
 *     patient.acquire_timeout(std::chrono::seconds(30));
 *     consul_locks::lock lock("nightly-report", patient);
 *     if (lock.try_acquire()) { ... }           // false: somebody else has it; all else throws
 *
 * Failures are thrown as consul_locks::error. Each function that can fail also has a form that
 * takes a consul_locks::failure & last, never throws for a failed call, and is all there is under
 * -fno-exceptions. The namespace is called consul_locks because `consul_lock` is a type of C.
 */
#ifndef CONSUL_LOCK_HPP
#define CONSUL_LOCK_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "consul_lock.h"

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define CONSUL_LOCKS_EXCEPTIONS 1
#else
#define CONSUL_LOCKS_EXCEPTIONS 0
#endif

namespace consul_locks {

namespace detail {

struct deleter {
    void operator()(consul_lock *p) const noexcept { consul_lock_free(p); }
    void operator()(consul_lock_client *p) const noexcept { consul_lock_client_free(p); }
    void operator()(consul_lock_options *p) const noexcept { consul_lock_options_free(p); }
    void operator()(consul_lock_error *p) const noexcept { consul_lock_error_free(p); }
    void operator()(consul_lock_holder_info *p) const noexcept { consul_lock_holder_free(p); }
};

template <class T> using owned = std::unique_ptr<T, deleter>;

/* A text that the library copies out. */
template <class T>
std::string text(const T *object, std::size_t (*copy)(const T *, char *, std::size_t)) {
    std::string out(copy(object, nullptr, 0), '\0');
    copy(object, out.data(), out.size() + 1);
    return out;
}

inline bool has_nul(std::string_view text) { return text.find('\0') != text.npos; }

} // namespace detail

/* Why a call failed, or that it did not. */
class failure {
  public:
    failure() = default;
    explicit operator bool() const noexcept { return code_ != CONSUL_LOCK_OK; }
    consul_lock_status code() const noexcept { return code_; }
    const char *message() const noexcept {
        return error_ ? consul_lock_error_message(error_.get()) : own_message_;
    }
    int http_status() const noexcept { return consul_lock_error_http_status(error_.get()); }
    bool retryable() const noexcept { return consul_lock_error_is_retryable(error_.get()); }

    /* Takes in the outcome of a C function. */
    void take(consul_lock_error *error) noexcept {
        error_.reset(error);
        code_ = consul_lock_error_code(error);
        own_message_ = "";
    }
    /* Refuses before the library was asked. `message` lives for ever. */
    void refuse(consul_lock_status code, const char *message) noexcept {
        error_.reset();
        code_ = code;
        own_message_ = message;
    }

  private:
    detail::owned<consul_lock_error> error_;
    consul_lock_status code_ = CONSUL_LOCK_OK;
    const char *own_message_ = "";
};

/* A failure, thrown. what() is one line: what failed, on which key and address, what to do. */
class error : public std::runtime_error {
  public:
    explicit error(const failure &why)
        : std::runtime_error(why.message()), code_(why.code()), http_status_(why.http_status()),
          retryable_(why.retryable()) {}
    consul_lock_status code() const noexcept { return code_; }
    /* 0 when the failure did not come with an HTTP status. */
    int http_status() const noexcept { return http_status_; }
    bool retryable() const noexcept { return retryable_; }

  private:
    consul_lock_status code_;
    int http_status_;
    bool retryable_;
};

#if CONSUL_LOCKS_EXCEPTIONS
namespace detail {
inline void raise(const failure &why) {
    if (why) {
        throw error(why);
    }
}
} // namespace detail
#endif

class options;

/* How to reach Consul; see consul_lock_client. Counted: locks keep what they need of it. */
class client {
  public:
    /* Empty on failure. */
    static std::optional<client> make(const options &from, failure &why);
#if CONSUL_LOCKS_EXCEPTIONS
    client();
    explicit client(const options &from);
#endif
    /* The client of all locks that are given none, from now on. */
    void make_default() const noexcept { consul_lock_set_default_client(native()); }
    const consul_lock_client *native() const noexcept { return client_.get(); }

  private:
    explicit client(consul_lock_client *made) : client_(made) {}
    detail::owned<consul_lock_client> client_;
};

/* Options of a lock or of a client. A wrong one is refused when something is made from them. */
class options {
  public:
    /* For acquire_timeout: wait until cancelled. */
    static constexpr std::chrono::milliseconds forever{-1};

    options() : options_(consul_lock_options_new()) {}

    /* Any option by its name: docs/OPTIONS.md lists them. */
    options &set(const std::string &name, const std::string &value) {
        has_nul_ = has_nul_ || detail::has_nul(name) || detail::has_nul(value);
        consul_lock_options_set(options_.get(), name.c_str(), value.c_str(), nullptr);
        return *this;
    }
    options &set(const std::string &name, std::int64_t value) {
        has_nul_ = has_nul_ || detail::has_nul(name);
        consul_lock_options_set_int(options_.get(), name.c_str(), value, nullptr);
        return *this;
    }

    /* Of a lock. */
    options &acquire_timeout(std::chrono::milliseconds wait) {
        return set("acquire_timeout_ms", static_cast<std::int64_t>(wait.count()));
    }
    options &lock_timeout(std::chrono::seconds life) {
        return set("lock_timeout_seconds", static_cast<std::int64_t>(life.count()));
    }
    /* Renewed by the library while it is held, so that it lives as long as the work takes. */
    options &auto_renew(bool yes = true) {
        return set("auto_renew", static_cast<std::int64_t>(yes));
    }
    /* With auto_renew: for how long. Zero: for ever. */
    options &max_lifetime(std::chrono::seconds longest) {
        return set("max_lifetime_seconds", static_cast<std::int64_t>(longest.count()));
    }
    options &value(std::string_view bytes) {
        consul_lock_options_set_bytes(options_.get(), "value", bytes.data(), bytes.size(), nullptr);
        return *this;
    }
    options &use(const client &with) {
        consul_lock_options_set_client(options_.get(), with.native(), nullptr);
        return *this;
    }

    /* Of a client. */
    options &address(const std::string &value) { return set("address", value); }
    options &token(const std::string &value) { return set("token", value); }
    options &datacenter(const std::string &value) { return set("datacenter", value); }
    options &connect_timeout(std::chrono::milliseconds wait) {
        return set("connect_timeout_ms", static_cast<std::int64_t>(wait.count()));
    }
    options &request_timeout(std::chrono::milliseconds wait) {
        return set("request_timeout_ms", static_cast<std::int64_t>(wait.count()));
    }
    options &release_timeout(std::chrono::milliseconds wait) {
        return set("release_timeout_ms", static_cast<std::int64_t>(wait.count()));
    }

    const consul_lock_options *native() const noexcept { return options_.get(); }

    /* What C could not be told: a text with a NUL inside, or that there was no memory. */
    bool unusable(failure &why) const noexcept {
        if (!options_) {
            why.refuse(CONSUL_LOCK_NO_RESOURCES, "no memory for options");
        } else if (has_nul_) {
            why.refuse(CONSUL_LOCK_INVALID_OPTION, "an option's name or value contains a NUL");
        } else {
            return false;
        }
        return true;
    }

  private:
    detail::owned<consul_lock_options> options_;
    bool has_nul_ = false;
};

inline std::optional<client> client::make(const options &from, failure &why) {
    if (from.unusable(why)) {
        return std::nullopt;
    }
    consul_lock_error *told = nullptr;
    consul_lock_client *made = consul_lock_client_new(from.native(), &told);
    why.take(told);
    if (made == nullptr) {
        return std::nullopt;
    }
    return client(made);
}

#if CONSUL_LOCKS_EXCEPTIONS
inline client::client() : client(options()) {}
inline client::client(const options &from) {
    failure why;
    std::optional<client> made = make(from, why);
    detail::raise(why);
    client_ = std::move(made->client_);
}
#endif

/* A lock: single use, move-only. The destructor releases it if it is held. */
class lock {
  public:
    /* Empty on failure. */
    static std::optional<lock> make(const std::string &key, const options &from, failure &why) {
        if (from.unusable(why)) {
            return std::nullopt;
        }
        if (detail::has_nul(key)) {
            why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "key contains a NUL");
            return std::nullopt;
        }
        consul_lock_error *told = nullptr;
        consul_lock *made = consul_lock_new(key.c_str(), from.native(), &told);
        why.take(told);
        if (made == nullptr) {
            return std::nullopt;
        }
        return lock(made);
    }

    /* Forms that never throw for a failed call. */
    consul_lock_status acquire(failure &why) noexcept { return ask(consul_lock_acquire, why); }
    consul_lock_status release(failure &why) noexcept { return ask(consul_lock_release, why); }
    consul_lock_status renew(failure &why) noexcept { return ask(consul_lock_renew, why); }
    consul_lock_status check(failure &why) const noexcept {
        consul_lock_error *told = nullptr;
        consul_lock_status status = consul_lock_check(lock_.get(), &told);
        why.take(told);
        return status;
    }

    /* Writes, or deletes, a key of the KV store, if and only if the lock is held: see
     * consul_lock_put_if_held(). */
    consul_lock_status put_if_held(const std::string &key, std::string_view value,
                                   failure &why) noexcept {
        if (refuses(key, why)) {
            return why.code();
        }
        consul_lock_error *told = nullptr;
        consul_lock_status status =
            consul_lock_put_if_held(lock_.get(), key.c_str(), value.data(), value.size(), &told);
        why.take(told);
        return status;
    }
    consul_lock_status delete_if_held(const std::string &key, failure &why) noexcept {
        if (refuses(key, why)) {
            return why.code();
        }
        consul_lock_error *told = nullptr;
        consul_lock_status status = consul_lock_delete_if_held(lock_.get(), key.c_str(), &told);
        why.take(told);
        return status;
    }
    /*
     * Has anything that can be called with a consul_lock_lost_reason called when the lock is lost,
     * once, by a thread of the library; an empty function: nobody. It takes the place of the one
     * before. An exception that leaves it ends the program.
     */
    consul_lock_status on_lost(std::function<void(consul_lock_lost_reason)> callback,
                               failure &why) {
        using function = std::function<void(consul_lock_lost_reason)>;
        auto call = [](consul_lock_lost_reason reason, void *data) noexcept {
            (*static_cast<function *>(data))(reason);
        };
        auto free = [](void *data) noexcept { delete static_cast<function *>(data); };
        consul_lock_error *told = nullptr;
        consul_lock_status status =
            callback ? consul_lock_set_lost_callback(lock_.get(), call,
                                                     new function(std::move(callback)), free, &told)
                     : consul_lock_set_lost_callback(lock_.get(), nullptr, nullptr, nullptr, &told);
        why.take(told);
        return status;
    }

#if CONSUL_LOCKS_EXCEPTIONS
    explicit lock(const std::string &key, const options &from = options()) {
        failure why;
        std::optional<lock> made = make(key, from, why);
        detail::raise(why);
        lock_ = std::move(made->lock_);
    }
    void acquire() {
        failure why;
        acquire(why);
        detail::raise(why);
    }
    /* false: somebody else had it until the deadline. Everything else is thrown. */
    [[nodiscard]] bool try_acquire() {
        failure why;
        if (acquire(why) == CONSUL_LOCK_NOT_ACQUIRED) {
            return false;
        }
        detail::raise(why);
        return true;
    }
    /* true: it was held until now; false: there was nothing to give back. LOST is thrown. */
    bool release() {
        failure why;
        if (release(why) == CONSUL_LOCK_NOT_HELD) {
            return false;
        }
        detail::raise(why);
        return true;
    }
    void renew() {
        failure why;
        renew(why);
        detail::raise(why);
    }
    void check() const {
        failure why;
        check(why);
        detail::raise(why);
    }
    void put_if_held(const std::string &key, std::string_view value) {
        failure why;
        put_if_held(key, value, why);
        detail::raise(why);
    }
    void delete_if_held(const std::string &key) {
        failure why;
        delete_if_held(key, why);
        detail::raise(why);
    }
    void on_lost(std::function<void(consul_lock_lost_reason)> callback) {
        failure why;
        on_lost(std::move(callback), why);
        detail::raise(why);
    }
#endif

    /* Gives up the object but not the lock: it stays in Consul until its TTL. */
    void abandon() noexcept { consul_lock_abandon(lock_.release()); }
    void cancel() noexcept { consul_lock_cancel(lock_.get()); }
    bool is_held() const noexcept { return consul_lock_is_held(lock_.get()); }
    std::chrono::milliseconds remaining() const noexcept {
        return std::chrono::milliseconds(consul_lock_remaining_ms(lock_.get()));
    }
    std::uint64_t fencing_token() const noexcept { return consul_lock_fencing_token(lock_.get()); }
    std::string key() const { return detail::text<consul_lock>(lock_.get(), consul_lock_key); }
    std::string session_id() const {
        return detail::text<consul_lock>(lock_.get(), consul_lock_session_id);
    }
    consul_lock *native() noexcept { return lock_.get(); }

  private:
    explicit lock(consul_lock *made) : lock_(made) {}
    template <class F> consul_lock_status ask(F function, failure &why) noexcept {
        consul_lock_error *told = nullptr;
        consul_lock_status status = function(lock_.get(), &told);
        why.take(told);
        return status;
    }
    static bool refuses(const std::string &key, failure &why) noexcept {
        if (detail::has_nul(key)) {
            why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "key contains a NUL");
        }
        return detail::has_nul(key);
    }
    detail::owned<consul_lock> lock_;
};

namespace detail {
/* Calls a block that wants to see its lock, or does not. */
template <class F> decltype(auto) run(F &&block, lock &held) {
    if constexpr (std::is_invocable_v<F, lock &>) {
        return std::forward<F>(block)(held);
    } else {
        return std::forward<F>(block)();
    }
}
} // namespace detail

/*
 * Takes the lock, runs the block, releases. The block takes nothing, or a consul_locks::lock &.
 * Answers what kept the block from running, or what went wrong with the release: CONSUL_LOCK_LOST
 * when the lock was lost while the block ran.
 */
template <class F>
consul_lock_status hold(const std::string &key, const options &from, F &&block, failure &why) {
    std::optional<lock> held = lock::make(key, from, why);
    if (!held || held->acquire(why) != CONSUL_LOCK_OK) {
        return why.code();
    }
    detail::run(std::forward<F>(block), *held);
    if (held->release(why) == CONSUL_LOCK_NOT_HELD) {
        why = failure(); // the block gave it back itself
    }
    return why.code();
}

#if CONSUL_LOCKS_EXCEPTIONS
/* The same, throwing, and returning what the block returns. An exception of the block wins. */
template <class F> decltype(auto) hold(const std::string &key, const options &from, F &&block) {
    lock held(key, from);
    held.acquire();
    using result = decltype(detail::run(std::forward<F>(block), held));
    if constexpr (std::is_void_v<result>) {
        detail::run(std::forward<F>(block), held);
        held.release();
    } else if constexpr (std::is_reference_v<result>) {
        result &&kept = detail::run(std::forward<F>(block), held);
        held.release();
        return static_cast<result>(kept);
    } else {
        result kept = detail::run(std::forward<F>(block), held);
        held.release();
        return kept;
    }
}
template <class F> decltype(auto) hold(const std::string &key, F &&block) {
    return hold(key, options(), std::forward<F>(block));
}
#endif

/* Who holds a lock. */
struct holder_info {
    std::string session;
    std::string name; /* of the session; empty: Consul would not say */
    std::string node; /* through which it was made; empty: Consul would not say */
    std::string value;
    std::uint64_t created_index = 0;
};

/* Asks Consul who holds the lock on `key`; empty: nobody. `with` may be null: the default client.
 */
inline std::optional<holder_info> holder(const std::string &key, const client *with, failure &why) {
    if (detail::has_nul(key)) {
        why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "key contains a NUL");
        return std::nullopt;
    }
    consul_lock_error *told = nullptr;
    consul_lock_holder_info *raw = nullptr;
    consul_lock_holder(with != nullptr ? with->native() : nullptr, key.c_str(), &raw, &told);
    why.take(told);
    detail::owned<consul_lock_holder_info> found(raw);
    if (!found) {
        return std::nullopt;
    }
    holder_info out;
    out.session = detail::text<consul_lock_holder_info>(raw, consul_lock_holder_session);
    out.name = detail::text<consul_lock_holder_info>(raw, consul_lock_holder_name);
    out.node = detail::text<consul_lock_holder_info>(raw, consul_lock_holder_node);
    out.value.resize(consul_lock_holder_value(raw, nullptr, 0));
    consul_lock_holder_value(raw, out.value.data(), out.value.size());
    out.created_index = consul_lock_holder_created_index(raw);
    return out;
}

/* Sets a process-wide default. */
inline consul_lock_status set_default(const std::string &name, const std::string &value,
                                      failure &why) {
    if (detail::has_nul(name) || detail::has_nul(value)) {
        why.refuse(CONSUL_LOCK_INVALID_OPTION, "a default's name or value contains a NUL");
        return why.code();
    }
    consul_lock_error *told = nullptr;
    consul_lock_status status = consul_lock_defaults_set(name.c_str(), value.c_str(), &told);
    why.take(told);
    return status;
}

/*
 * Sets what makes the stored value of locks from now on; an empty function goes back to
 * "locked_at". It may be called by several threads at once. Empty result or an exception: no value.
 */
inline void set_value_generator(std::function<std::optional<std::string>()> generator) {
    using function = std::function<std::optional<std::string>()>;
    if (!generator) {
        consul_lock_set_value_generator(nullptr, nullptr, nullptr);
        return;
    }
    auto call = [](consul_lock_value *place, void *data) noexcept -> int {
        std::optional<std::string> made;
#if CONSUL_LOCKS_EXCEPTIONS
        try {
            made = (*static_cast<function *>(data))();
        } catch (...) {
            return 1;
        }
#else
        made = (*static_cast<function *>(data))();
#endif
        return made && consul_lock_value_set(place, made->data(), made->size()) == CONSUL_LOCK_OK
                   ? 0
                   : 1;
    };
    auto free = [](void *data) noexcept { delete static_cast<function *>(data); };
    consul_lock_set_value_generator(call, new function(std::move(generator)), free);
}

#if CONSUL_LOCKS_EXCEPTIONS
inline std::optional<holder_info> holder(const std::string &key, const client *with = nullptr) {
    failure why;
    std::optional<holder_info> found = holder(key, with, why);
    detail::raise(why);
    return found;
}
inline void set_default(const std::string &name, const std::string &value) {
    failure why;
    set_default(name, value, why);
    detail::raise(why);
}
#endif

} // namespace consul_locks

#endif /* CONSUL_LOCK_HPP */
