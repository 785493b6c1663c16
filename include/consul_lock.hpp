/*
 * consul_lock.hpp: locks of libconsul_lock as C++17 objects. Header only, over consul_lock.h, which
 * says what each call means, what it returns, and what threads and forks may do.
 *
 *     consul_locks::hold("nightly-report", [] { make_the_report(); });
 *
 *     auto patient = consul_locks::options().acquire_timeout(std::chrono::seconds(30));
 *     consul_locks::lock lock("nightly-report", patient);
 *     if (lock.try_acquire()) { ... }          // false: another process has it; all else throws
 *
 *     auto three = consul_locks::options().share().limit(3);          // at most three at once
 *     consul_locks::hold("pool", three, [](consul_locks::lock &held) { work_as(*held.slot()); });
 *     consul_locks::hold({"stock", "orders"}, [] { ... });            // both keys, or none
 *
 * FAILURES. A failed call throws consul_locks::error, with the status of the C function of the same
 * name. Each function that can fail also has a form with a consul_locks::failure & last, which
 * throws nothing for a failed call and returns whether it worked. Under -fno-exceptions only these
 * forms exist.
 *
 * CALLABLES. Threads of the library call completions, notices of a loss, observers and listeners of
 * the log. The library copies or moves a callable in, and owns it until its last call. One that
 * throws ends the program, as with std::thread: no exception can cross C. Only a value generator
 * may throw.
 *
 * OBJECTS. Objects are move-only and own what they wrap. A call on an object that was moved from
 * fails with INVALID_ARGUMENT, and the message says so. Any number of threads may use one object,
 * as long as none moves, assigns or destroys it, or changes options.
 *
 * The namespace is consul_locks because `consul_lock` is a type of C.
 */
#ifndef CONSUL_LOCK_HPP
#define CONSUL_LOCK_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <poll.h>
#include <unistd.h>

#if __has_include(<version>)
#include <version>
#endif
#if defined(__cpp_lib_jthread)
#include <stop_token>
#endif

#include "consul_lock_async.h"

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define CONSUL_LOCKS_EXCEPTIONS 1
#else
#define CONSUL_LOCKS_EXCEPTIONS 0
#endif

namespace consul_locks {

/* ---- Failures ---- */

namespace detail {

struct deleter {
    void operator()(consul_lock *p) const noexcept { consul_lock_free(p); }
    void operator()(consul_lock_client *p) const noexcept { consul_lock_client_free(p); }
    void operator()(consul_lock_options *p) const noexcept { consul_lock_options_free(p); }
    void operator()(consul_lock_error *p) const noexcept { consul_lock_error_free(p); }
    void operator()(consul_lock_holder_info *p) const noexcept { consul_lock_holder_free(p); }
    void operator()(consul_lock_holders_info *p) const noexcept { consul_lock_holders_free(p); }
    void operator()(consul_lock_observer *p) const noexcept { consul_lock_observer_free(p); }
    void operator()(consul_lock_queue *p) const noexcept { consul_lock_queue_free(p); }
    void operator()(consul_lock_event *p) const noexcept { consul_lock_event_free(p); }
    void operator()(consul_lock_sender *p) const noexcept { consul_lock_sender_free(p); }
};

template <class T> using owned = std::unique_ptr<T, deleter>;

/* The exception of the value generator in this thread, until a failure takes it. */
inline std::exception_ptr &thrown_by_generator() noexcept {
    static thread_local std::exception_ptr thrown;
    return thrown;
}

/* A lost reason from C, where 0 means none. */
inline std::optional<consul_lock_lost_reason> reason(std::int32_t number) noexcept {
    return number == 0 ? std::nullopt : std::optional(static_cast<consul_lock_lost_reason>(number));
}

} // namespace detail

/** The outcome of a call: why it failed, or that it worked. */
class failure {
  public:
    failure() = default;
    /** Whether the call failed. */
    explicit operator bool() const noexcept { return code_ != CONSUL_LOCK_OK; }
    /** The status; OK if the call worked. */
    consul_lock_status code() const noexcept { return code_; }
    /** One line for people: what failed, on which key and address, what to do. Never null. */
    const char *message() const noexcept {
        return error_ ? consul_lock_error_message(error_.get()) : own_message_;
    }
    /** The HTTP status of Consul's answer; 0 when the failure came without one. */
    int http_status() const noexcept { return consul_lock_error_http_status(error_.get()); }
    /** Whether the same call may work later, with a new lock. */
    bool retryable() const noexcept { return consul_lock_error_is_retryable(error_.get()); }
    /** For VALUE_FAILED: the exception of the value generator, if it threw one. */
    std::exception_ptr cause() const noexcept { return cause_; }

    /** For LOST: how the lock was lost. name() gives the name, such as "KEY_GONE". */
    std::optional<consul_lock_lost_reason> lost_reason() const noexcept {
        return detail::reason(consul_lock_error_why_lost(error_.get()));
    }

    /** Takes the outcome of a C function, and owns the error. Returns whether the call worked. */
    bool take(consul_lock_status code, consul_lock_error *error) noexcept {
        error_.reset(error);
        code_ = code;
        own_message_ = error == nullptr && code != CONSUL_LOCK_OK ? "no memory for the error" : "";
        cause_ = nullptr;
        if (code == CONSUL_LOCK_VALUE_FAILED) {
            std::swap(cause_, detail::thrown_by_generator());
        }
        return code == CONSUL_LOCK_OK;
    }
    /** Records a refusal before any call of C. `message` is a literal. Returns false. */
    bool refuse(consul_lock_status code, const char *message) noexcept {
        take(code, nullptr);
        own_message_ = message;
        return false;
    }

  private:
    detail::owned<consul_lock_error> error_;
    consul_lock_status code_ = CONSUL_LOCK_OK;
    const char *own_message_ = "";
    std::exception_ptr cause_;
};

/** A failure as an exception. what() is its message. */
class error : public std::runtime_error {
  public:
    /** Makes an exception of a failure, for code that wants to throw after all. */
    explicit error(const failure &why)
        : std::runtime_error(why.message()), code_(why.code()), http_status_(why.http_status()),
          retryable_(why.retryable()), lost_reason_(why.lost_reason()), cause_(why.cause()) {}
    /** The status; never OK. */
    consul_lock_status code() const noexcept { return code_; }
    /** The HTTP status of Consul's answer; 0 when the failure came without one. */
    int http_status() const noexcept { return http_status_; }
    /** Whether the same call may work later, with a new lock. */
    bool retryable() const noexcept { return retryable_; }
    /** For VALUE_FAILED: the exception of the value generator, if it threw one. */
    std::exception_ptr cause() const noexcept { return cause_; }
    /** For LOST: how the lock was lost. name() gives the name, such as "KEY_GONE". */
    std::optional<consul_lock_lost_reason> lost_reason() const noexcept { return lost_reason_; }

  private:
    consul_lock_status code_;
    int http_status_;
    bool retryable_;
    std::optional<consul_lock_lost_reason> lost_reason_;
    std::exception_ptr cause_;
};

/** The name of a status, such as "NOT_ACQUIRED". */
inline const char *name(consul_lock_status status) noexcept {
    return consul_lock_status_name(static_cast<std::int32_t>(status));
}

/** The name of a lost reason, such as "KEY_GONE". */
inline const char *name(consul_lock_lost_reason reason) noexcept {
    return consul_lock_lost_reason_name(static_cast<std::int32_t>(reason));
}

/** The name of a level of the log, such as "WARN". */
inline const char *name(consul_lock_log_level level) noexcept {
    switch (level) {
    case CONSUL_LOCK_LOG_LEVEL_ERROR:
        return "ERROR";
    case CONSUL_LOCK_LOG_LEVEL_WARN:
        return "WARN";
    case CONSUL_LOCK_LOG_LEVEL_INFO:
        return "INFO";
    case CONSUL_LOCK_LOG_LEVEL_DEBUG:
        return "DEBUG";
    }
    return "UNKNOWN";
}

/* ---- How calls of C become calls of C++ ---- */

namespace detail {

/* Copies a text out of the library. The text may grow between two calls. */
template <class F> std::string text_by(F copy) {
    std::string out;
    for (;;) {
        const std::size_t length = copy(out.data(), out.size() + 1);
        if (length <= out.size()) {
            out.resize(length);
            return out;
        }
        out.resize(length + 16);
    }
}
template <class T>
std::string text(const T *object, std::size_t (*copy)(const T *, char *, std::size_t)) {
    return text_by([=](char *buf, std::size_t cap) { return copy(object, buf, cap); });
}

inline bool has_nul(std::string_view text) noexcept { return text.find('\0') != text.npos; }

/* Refuses a key of which C would read only the part before a NUL. */
inline bool is_key(const std::string &key, failure &why) noexcept {
    return !has_nul(key) || why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "key contains a NUL");
}

/* A list of texts in braces, where a template has a parameter for any range of texts. */
using list = std::initializer_list<std::string_view>;

/* Whether a type is a range of texts, and no text itself. */
template <class K, class = void> constexpr bool are_keys = false;
template <class K>
constexpr bool are_keys<K, std::void_t<decltype(*std::begin(std::declval<const K &>()))>> =
    std::is_convertible_v<decltype(*std::begin(std::declval<const K &>())), std::string_view> &&
    !std::is_convertible_v<const K &, std::string_view>;
template <class K> using if_keys = std::enable_if_t<are_keys<K>>;

/* Calls a function of C whose last parameter is the error. */
template <class F, class... A> bool ask(failure &why, F function, A... arguments) noexcept {
    consul_lock_error *refusal = nullptr;
    const consul_lock_status status = function(arguments..., &refusal);
    return why.take(status, refusal);
}

/* Calls a function of C that makes something. */
template <class F, class... A> auto make(failure &why, F function, A... arguments) noexcept {
    consul_lock_error *refusal = nullptr;
    auto *made = function(arguments..., &refusal);
    const consul_lock_status status = made != nullptr      ? CONSUL_LOCK_OK
                                      : refusal != nullptr ? consul_lock_error_code(refusal)
                                                           : CONSUL_LOCK_NO_RESOURCES;
    why.take(status, refusal);
    return made;
}

/* Whether a callable is empty: nullptr, a null function or an empty std::function. */
template <class F> constexpr bool is_nullptr = std::is_null_pointer_v<std::decay_t<F>>;
template <class F> bool is_empty(const F &) noexcept { return false; }
template <class R, class... A> bool is_empty(R (*const &function)(A...)) noexcept {
    return function == nullptr;
}
template <class S> bool is_empty(const std::function<S> &function) noexcept { return !function; }

/* A callable on the heap, which is the user_data of a callback. */
template <class F> void drop(void *data) noexcept { delete static_cast<F *>(data); }
template <class F> std::unique_ptr<std::decay_t<F>> boxed(F &&callable) {
    return std::make_unique<std::decay_t<F>>(std::forward<F>(callable));
}

/* Begins a call whose outcome `done` receives: calls `function` with `arguments`, the callback and
 * the boxed `done`. */
template <class D, class C, class F, class... A>
bool begin(failure &why, D &&done, C callback, F function, A... arguments) {
    if (is_empty(done)) {
        return why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "done is empty");
    }
    auto kept = boxed(std::forward<D>(done));
    if (!ask(why, function, arguments..., callback, static_cast<void *>(kept.get()))) {
        return false;
    }
    kept.release(); // the callback owns it now, and may have freed it already
    return true;
}

/* A consul_lock_done for a callable that takes a failure. */
template <class F>
void completed(consul_lock_status status, consul_lock_error *error, void *data) noexcept {
    const std::unique_ptr<F> done(static_cast<F *>(data));
    failure why;
    why.take(status, error);
    (*done)(std::move(why));
}

#if CONSUL_LOCKS_EXCEPTIONS
inline void raise(const failure &why) {
    if (why) {
        throw error(why);
    }
}

/* Makes a form that throws of one that takes a failure. */
template <class F> auto or_throw(F call) {
    failure why;
    auto result = call(why);
    raise(why);
    return result;
}
#endif

} // namespace detail

/* ---- Options and clients ---- */

class options;

/** The option "mode": whether a lock has its key alone, or beside others that share the key. */
enum class mode { exclusive, share };

/** The way to reach Consul; see consul_lock_client. A lock keeps its client alive. */
class client {
  public:
    /** Makes a client; empty on failure. */
    static std::optional<client> make(const options &from, failure &why);
#if CONSUL_LOCKS_EXCEPTIONS
    /** Makes a client from the environment. */
    client();
    /** Makes a client. The environment fills in what the options leave out. Sends nothing. */
    explicit client(const options &from);
#endif
    /** Makes this the default client of later locks. A client that was moved from changes nothing.
     */
    void make_default() const noexcept {
        if (client_) {
            consul_lock_set_default_client(native());
        }
    }
    /** The statistics of this client in this process: JSON, described in docs/guide.md. Empty if
     * the client was moved from. */
    std::string stats() const {
        return client_ ? detail::text(native(), consul_lock_client_stats) : std::string();
    }
    /** The object of C, which belongs to this object. */
    const consul_lock_client *native() const noexcept { return client_.get(); }

  private:
    explicit client(consul_lock_client *made) : client_(made) {}
    detail::owned<consul_lock_client> client_;
};

/**
 * Options of a lock or of a client. The set remembers a wrong option, and the constructor of a lock
 * or client refuses the set. One set can serve any number of locks and clients. Each setter returns
 * the options, also those of a temporary:
 *
 *     auto patient = consul_locks::options().acquire_timeout(1s).auto_renew();
 */
class options {
  public:
    /** The acquire_timeout of a wait that only a cancel ends. */
    static constexpr std::chrono::milliseconds forever{-1};

    options() : options_(consul_lock_options_new()) {}

    /** Sets any option of docs/OPTIONS.md by its name, from a text, a whole number or a bool. */
    template <class T> options &set(const std::string &option, const T &value) & {
        if constexpr (std::is_integral_v<T>) {
            has_nul_ = has_nul_ || detail::has_nul(option);
            consul_lock_options_set_int(native(), option.c_str(), number(value), nullptr);
        } else {
            const std::string text(value);
            has_nul_ = has_nul_ || detail::has_nul(option) || detail::has_nul(text);
            consul_lock_options_set(native(), option.c_str(), text.c_str(), nullptr);
        }
        return *this;
    }

    /** Of a lock: how long an acquire waits. 0 (the default): exactly one attempt. */
    options &acquire_timeout(std::chrono::milliseconds wait) & {
        return set("acquire_timeout_ms", wait.count());
    }
    /** Of a lock: its life, unless it is released or renewed. */
    options &lock_timeout(std::chrono::seconds life) & {
        return set("lock_timeout_seconds", life.count());
    }
    /** Of a lock: whether it has its key alone, or beside others that share the key. */
    options &mode(consul_locks::mode how) & {
        return set("mode", how == consul_locks::mode::share ? "share" : "exclusive");
    }
    /** Of a lock: the mode `share`. All locks that share a key hold it at the same time, but never
     * beside an exclusive one. */
    options &share() & { return mode(consul_locks::mode::share); }
    /** Of a lock that shares its key: how many may do so at once. lock::slot() numbers them. A
     * limit alone means a share. With mode::exclusive it is the limit after a downgrade. */
    options &limit(std::int64_t most) & { return set("limit", most); }
    /** Of a lock: the library renews it while it is held, so that it lives as long as the work. */
    options &auto_renew(bool yes = true) & { return set("auto_renew", yes); }
    /** Of a lock, with auto_renew: how long the library renews it at most. Zero: for ever. */
    options &max_lifetime(std::chrono::seconds longest) & {
        return set("max_lifetime_seconds", longest.count());
    }
    /** Of a lock: the library watches it while it is held, and so reports a loss at once. */
    options &monitor(bool yes = true) & { return set("monitor", yes); }
    /** Of a lock: a waiting acquire stands in line with other processes. */
    options &fair(bool yes = true) & { return set("fair", yes); }
    /** Of a lock: how long the first in line may leave the lock free before the next passes it. */
    options &queue_grace(std::chrono::milliseconds grace) & {
        return set("queue_grace_ms", grace.count());
    }
    /** Of a lock: the value under its key; any bytes. */
    options &value(std::string_view bytes) & {
        consul_lock_options_set_bytes(native(), "value", bytes.data(), bytes.size(), nullptr);
        return *this;
    }
    /** Of a lock: its client, instead of the default one. */
    options &use(const client &with) & {
        consul_lock_options_set_client(native(), with.native(), nullptr);
        return *this;
    }
    /** Of a client: the address of Consul's HTTP API, or several with commas between them. */
    options &address(const std::string &where) & { return set("address", where); }
    /** Of a client: TLS to every address, also to one without `https://`. */
    options &ssl(bool yes = true) & { return set("ssl", yes); }
    /** Of a client: false only for experiments, as an attacker in between can then read the token.
     */
    options &ssl_verify(bool yes) & { return set("ssl_verify", yes); }
    /** Of a client: a PEM file of the CAs to trust, instead of the system's. */
    options &ca_file(const std::string &path) & { return set("ca_file", path); }
    /** Of a client: a folder of PEM files of the CAs to trust. */
    options &ca_path(const std::string &path) & { return set("ca_path", path); }
    /** Of a client: a PEM file with its certificate; needs client_key. */
    options &client_cert(const std::string &path) & { return set("client_cert", path); }
    /** Of a client: a PEM file with the private key of client_cert. */
    options &client_key(const std::string &path) & { return set("client_key", path); }
    /** Of a client: the name that Consul's certificate must be for. */
    options &tls_server_name(const std::string &name) & { return set("tls_server_name", name); }
    /** Of a client: the ACL token. */
    options &token(const std::string &secret) & { return set("token", secret); }
    /** Of a client: a file with the ACL token, read again when Consul refuses the token. */
    options &token_file(const std::string &path) & { return set("token_file", path); }
    /** Of a client: `user:password`, for a proxy in front of Consul. */
    options &http_auth(const std::string &secret) & { return set("http_auth", secret); }
    /** Of a client: an HTTP proxy, as `http://host:port`. */
    options &proxy(const std::string &where) & { return set("proxy", where); }
    /** Of a client: the datacenter in which the locks live. */
    options &datacenter(const std::string &where) & { return set("datacenter", where); }
    /** Of a client: the namespace in which the locks live (Consul Enterprise). */
    options &namespace_(const std::string &name) & { return set("namespace", name); }
    /** Of a client: the admin partition in which the locks live (Consul Enterprise). */
    options &partition(const std::string &name) & { return set("partition", name); }
    /** Of a client: the beginning of the names of its sessions. */
    options &session_name(const std::string &name) & { return set("session_name", name); }
    /** Of a client: a node that no agent owns, to which its sessions are bound. */
    options &session_node(const std::string &name) & { return set("session_node", name); }
    /** Of a client: checks whose failure ends its sessions, with commas between their ids. */
    options &session_checks(const std::string &ids) & { return set("session_checks", ids); }
    /** Of a client: how long a lost lock stays closed to other sessions. */
    options &lock_delay(std::chrono::milliseconds pause) & {
        return set("lock_delay_ms", pause.count());
    }
    /** Of a client: the flags of lock keys. */
    options &flags(std::uint64_t value) & { return set("flags", value); }
    /** Of a client: the largest number of connections to Consul. */
    options &max_connections(std::int64_t most) & { return set("max_connections", most); }
    /** Of a client: how long to try to connect. */
    options &connect_timeout(std::chrono::milliseconds wait) & {
        return set("connect_timeout_ms", wait.count());
    }
    /** Of a client: how long one request may take. */
    options &request_timeout(std::chrono::milliseconds wait) & {
        return set("request_timeout_ms", wait.count());
    }
    /** Of a client: how long a release waits for Consul's confirmation. */
    options &release_timeout(std::chrono::milliseconds wait) & {
        return set("release_timeout_ms", wait.count());
    }

    /* The same setters for a temporary. */
    /** @cond */
    template <class T> options set(const std::string &option, const T &value) && {
        return std::move(set(option, value));
    }
    options acquire_timeout(std::chrono::milliseconds wait) && {
        return std::move(acquire_timeout(wait));
    }
    options lock_timeout(std::chrono::seconds life) && { return std::move(lock_timeout(life)); }
    options mode(consul_locks::mode how) && { return std::move(mode(how)); }
    options share() && { return std::move(share()); }
    options limit(std::int64_t most) && { return std::move(limit(most)); }
    options auto_renew(bool yes = true) && { return std::move(auto_renew(yes)); }
    options max_lifetime(std::chrono::seconds longest) && {
        return std::move(max_lifetime(longest));
    }
    options monitor(bool yes = true) && { return std::move(monitor(yes)); }
    options fair(bool yes = true) && { return std::move(fair(yes)); }
    options queue_grace(std::chrono::milliseconds grace) && {
        return std::move(queue_grace(grace));
    }
    options value(std::string_view bytes) && { return std::move(value(bytes)); }
    options use(const client &with) && { return std::move(use(with)); }
    options address(const std::string &where) && { return std::move(address(where)); }
    options ssl(bool yes = true) && { return std::move(ssl(yes)); }
    options ssl_verify(bool yes) && { return std::move(ssl_verify(yes)); }
    options ca_file(const std::string &path) && { return std::move(ca_file(path)); }
    options ca_path(const std::string &path) && { return std::move(ca_path(path)); }
    options client_cert(const std::string &path) && { return std::move(client_cert(path)); }
    options client_key(const std::string &path) && { return std::move(client_key(path)); }
    options tls_server_name(const std::string &name) && { return std::move(tls_server_name(name)); }
    options token(const std::string &secret) && { return std::move(token(secret)); }
    options token_file(const std::string &path) && { return std::move(token_file(path)); }
    options http_auth(const std::string &secret) && { return std::move(http_auth(secret)); }
    options proxy(const std::string &where) && { return std::move(proxy(where)); }
    options datacenter(const std::string &where) && { return std::move(datacenter(where)); }
    options namespace_(const std::string &name) && { return std::move(namespace_(name)); }
    options partition(const std::string &name) && { return std::move(partition(name)); }
    options session_name(const std::string &name) && { return std::move(session_name(name)); }
    options session_node(const std::string &name) && { return std::move(session_node(name)); }
    options session_checks(const std::string &ids) && { return std::move(session_checks(ids)); }
    options lock_delay(std::chrono::milliseconds pause) && { return std::move(lock_delay(pause)); }
    options flags(std::uint64_t value) && { return std::move(flags(value)); }
    options max_connections(std::int64_t most) && { return std::move(max_connections(most)); }
    options connect_timeout(std::chrono::milliseconds wait) && {
        return std::move(connect_timeout(wait));
    }
    options request_timeout(std::chrono::milliseconds wait) && {
        return std::move(request_timeout(wait));
    }
    options release_timeout(std::chrono::milliseconds wait) && {
        return std::move(release_timeout(wait));
    }
    /** @endcond */

    /** The object of C, which belongs to this object. */
    const consul_lock_options *native() const noexcept { return options_.get(); }
    /** The object of C, which belongs to this object. */
    consul_lock_options *native() noexcept { return options_.get(); }

    /** Refuses options that C cannot receive: a text with a NUL inside, or no object. */
    bool are_usable(failure &why) const noexcept {
        if (!options_) {
            return why.refuse(CONSUL_LOCK_INVALID_ARGUMENT,
                              "the options were moved away, or there was no memory for them");
        }
        return !has_nul_ ||
               why.refuse(CONSUL_LOCK_INVALID_OPTION, "an option's name or value contains a NUL");
    }

  private:
    /* A number that is too large for C becomes one that C refuses. */
    template <class T> static std::int64_t number(T value) noexcept {
        if constexpr (std::is_unsigned_v<T> && sizeof(T) >= sizeof(std::int64_t)) {
            constexpr auto largest = std::numeric_limits<std::int64_t>::max();
            return value > static_cast<T>(largest) ? largest : static_cast<std::int64_t>(value);
        } else {
            return static_cast<std::int64_t>(value);
        }
    }

    detail::owned<consul_lock_options> options_;
    bool has_nul_ = false;
};

inline std::optional<client> client::make(const options &from, failure &why) {
    if (!from.are_usable(why)) {
        return std::nullopt;
    }
    consul_lock_client *made = detail::make(why, consul_lock_client_new, from.native());
    return made != nullptr ? std::optional<client>(client(made)) : std::nullopt;
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

/* ---- Locks ---- */

/**
 * A lock: single use, move-only. The destructor releases a held lock, and waits at most the
 * client's option "release_timeout_ms". It reports a failure only to the log; release() throws it.
 */
class lock {
  public:
    /** Makes a lock; empty on failure. Sends nothing. */
    static std::optional<lock> make(const std::string &key, const options &from, failure &why) {
        if (!from.are_usable(why) || !detail::is_key(key, why)) {
            return std::nullopt;
        }
        consul_lock *made = detail::make(why, consul_lock_new, key.c_str(), from.native());
        return made != nullptr ? std::optional<lock>(lock(made)) : std::nullopt;
    }
    /** Makes one lock on several keys, which an acquire takes as a whole or not at all: of a list
     * in braces, or of any range of texts. See consul_lock_new_all(). */
    template <class K = detail::list, class = detail::if_keys<K>>
    static std::optional<lock> make(const K &keys, const options &from, failure &why) {
        std::vector<std::string> copies;
        for (const std::string_view key : keys) {
            copies.emplace_back(key);
        }
        std::vector<const char *> pointers;
        pointers.reserve(copies.size() + 1); // so that C receives no NULL when there is no key
        for (const std::string &key : copies) {
            if (!detail::is_key(key, why)) {
                return std::nullopt;
            }
            pointers.push_back(key.c_str());
        }
        if (!from.are_usable(why)) {
            return std::nullopt;
        }
        consul_lock *made =
            detail::make(why, consul_lock_new_all, pointers.data(), pointers.size(), from.native());
        return made != nullptr ? std::optional<lock>(lock(made)) : std::nullopt;
    }

    /* Without exceptions: each returns whether the call worked; else `why` has the reason. */

    /** Takes the lock. NOT_ACQUIRED: another process had it until the deadline. CONFLICT: others
     * share the key with another limit. REJECTED: the key holds the data of another program, which
     * stay as they are, or Consul refused the request. */
    [[nodiscard]] bool acquire(failure &why) noexcept {
        return call(why, consul_lock_acquire, native());
    }
    /** Releases the lock. NOT_HELD: there was nothing to release. LOST: it had been lost before. */
    bool release(failure &why) noexcept { return call(why, consul_lock_release, native()); }
    /** Starts the lock's life anew. */
    bool renew(failure &why) noexcept { return call(why, consul_lock_renew, native()); }
    /** Asks Consul whether the lock is still held. */
    bool check(failure &why) const noexcept { return call(why, consul_lock_check, native()); }
    /** Turns an exclusive lock into a share of its key, without a gap. */
    bool downgrade(failure &why) noexcept { return call(why, consul_lock_downgrade, native()); }
    /** Turns a share into an exclusive lock, without a gap. Waits for the others that share the
     * key: not at all (0), or until a cancel (options::forever). NOT_ACQUIRED: others still share
     * the key, or another one is being upgraded, and the lock is a share, as before. */
    [[nodiscard]] bool upgrade(std::chrono::milliseconds wait, failure &why) noexcept {
        return call(why, consul_lock_upgrade, native(), static_cast<std::int64_t>(wait.count()));
    }
    /** Writes a key of the KV store, if and only if the lock is held. */
    bool put_if_held(const std::string &key, std::string_view value, failure &why) noexcept {
        return detail::is_key(key, why) && call(why, consul_lock_put_if_held, native(), key.c_str(),
                                                value.data(), value.size());
    }
    /** Deletes a key of the KV store, if and only if the lock is held. */
    bool delete_if_held(const std::string &key, failure &why) noexcept {
        return detail::is_key(key, why) &&
               call(why, consul_lock_delete_if_held, native(), key.c_str());
    }
    /** Sets the value to store, instead of option and generator. Call it before acquire(). */
    bool set_value(std::string_view bytes, failure &why) noexcept {
        return call(why, consul_lock_set_value, native(), bytes.data(), bytes.size());
    }
    /** Sets the callable that the library calls once when the lock is lost, with the
     * consul_lock_lost_reason or with nothing. It takes the place of the one before. nullptr: none.
     */
    template <class F> bool on_lost(F &&lost, failure &why) {
        if constexpr (!detail::is_nullptr<F>) {
            if (!detail::is_empty(lost)) {
                using function = std::decay_t<F>;
                // The library frees it, also when this fails.
                void *data = detail::boxed(std::forward<F>(lost)).release();
                return set_lost_callback(tell_lost<function>, data, detail::drop<function>, why);
            }
        }
        return set_lost_callback(nullptr, nullptr, nullptr, why);
    }

    /* Without waiting: a thread of the library calls `done` exactly once with the outcome, a
     * failure, perhaps before this call returns, and never if this call fails. `done` may destroy
     * the lock. */

    /** Begins acquire(). CANCELLED: the lock was destroyed, abandoned or cancelled meanwhile. */
    template <class F> bool acquire_start(F &&done, failure &why) {
        return begin(why, std::forward<F>(done), consul_lock_acquire_start, native());
    }
    /** Begins release(). The caller may destroy the lock at once. */
    template <class F> bool release_start(F &&done, failure &why) {
        return begin(why, std::forward<F>(done), consul_lock_release_start, native());
    }
    /** Begins renew(). */
    template <class F> bool renew_start(F &&done, failure &why) {
        return begin(why, std::forward<F>(done), consul_lock_renew_start, native());
    }
    /** Begins check(). */
    template <class F> bool check_start(F &&done, failure &why) const {
        return begin(why, std::forward<F>(done), consul_lock_check_start, native());
    }
    /** Begins downgrade(). */
    template <class F> bool downgrade_start(F &&done, failure &why) {
        return begin(why, std::forward<F>(done), consul_lock_downgrade_start, native());
    }
    /** Begins upgrade(). cancel() ends its wait. NOT_HELD: the lock was released or destroyed. */
    template <class F> bool upgrade_start(std::chrono::milliseconds wait, F &&done, failure &why) {
        return begin(why, std::forward<F>(done), consul_lock_upgrade_start, native(),
                     static_cast<std::int64_t>(wait.count()));
    }
    /** Begins put_if_held(). The library copies key and value. */
    template <class F>
    bool put_if_held_start(const std::string &key, std::string_view value, F &&done, failure &why) {
        return detail::is_key(key, why) &&
               begin(why, std::forward<F>(done), consul_lock_put_if_held_start, native(),
                     key.c_str(), value.data(), value.size());
    }
    /** Begins delete_if_held(). */
    template <class F> bool delete_if_held_start(const std::string &key, F &&done, failure &why) {
        return detail::is_key(key, why) &&
               begin(why, std::forward<F>(done), consul_lock_delete_if_held_start, native(),
                     key.c_str());
    }

#if CONSUL_LOCKS_EXCEPTIONS
    /* The same, throwing consul_locks::error. Those named _start throw only when they cannot begin.
     */

    /** Makes a lock. Sends nothing. */
    explicit lock(const std::string &key, const options &from = options()) {
        failure why;
        std::optional<lock> made = make(key, from, why);
        detail::raise(why);
        lock_ = std::move(made->lock_);
    }
    /** Makes one lock on several keys: `lock({"a", "b"})`, or of any range of texts. */
    template <class K = detail::list, class = detail::if_keys<K>>
    explicit lock(const K &keys, const options &from = options()) {
        failure why;
        std::optional<lock> made = make(keys, from, why);
        detail::raise(why);
        lock_ = std::move(made->lock_);
    }
    /** Takes the lock. Also throws NOT_ACQUIRED. */
    void acquire() {
        detail::or_throw([&](failure &why) { return acquire(why); });
    }
    /** Takes the lock; false: another process had it until the deadline. Throws all else. */
    [[nodiscard]] bool try_acquire() {
        failure why;
        if (!acquire(why) && why.code() != CONSUL_LOCK_NOT_ACQUIRED) {
            detail::raise(why);
        }
        return !why;
    }
#if defined(__cpp_lib_jthread)
    /** Takes the lock, or throws CANCELLED when a stop is requested first. The lock is used up
     * then. A stop also ends an acquire of this lock that another thread began. */
    void acquire(std::stop_token stop) {
        const std::stop_callback cancelling(std::move(stop), [this] { cancel(); });
        acquire();
    }
    /** The same; false: NOT_ACQUIRED. */
    [[nodiscard]] bool try_acquire(std::stop_token stop) {
        const std::stop_callback cancelling(std::move(stop), [this] { cancel(); });
        return try_acquire();
    }
#endif
    /** Releases the lock; false: there was nothing to release. Throws LOST. */
    bool release() {
        failure why;
        if (!release(why) && why.code() != CONSUL_LOCK_NOT_HELD) {
            detail::raise(why);
        }
        return !why;
    }
    /** Starts the lock's life anew. */
    void renew() {
        detail::or_throw([&](failure &why) { return renew(why); });
    }
    /** Asks Consul whether the lock is still held. */
    void check() const {
        detail::or_throw([&](failure &why) { return check(why); });
    }
    /** Turns an exclusive lock into a share of its key, without a gap. */
    void downgrade() {
        detail::or_throw([&](failure &why) { return downgrade(why); });
    }
    /** Turns a share into an exclusive lock, without a gap. Also throws NOT_ACQUIRED. */
    void upgrade(std::chrono::milliseconds wait) {
        detail::or_throw([&](failure &why) { return upgrade(wait, why); });
    }
    /** The same; false: NOT_ACQUIRED, and the lock is a share, as before. Throws all else. */
    [[nodiscard]] bool try_upgrade(std::chrono::milliseconds wait) {
        failure why;
        return is_upgraded(upgrade(wait, why), why);
    }
#if defined(__cpp_lib_jthread)
    /** The same; a requested stop ends the wait with CANCELLED. */
    void upgrade(std::chrono::milliseconds wait, std::stop_token stop) {
        detail::raise(stoppable_upgrade(wait, std::move(stop)));
    }
    /** The same; false: NOT_ACQUIRED. */
    [[nodiscard]] bool try_upgrade(std::chrono::milliseconds wait, std::stop_token stop) {
        const failure why = stoppable_upgrade(wait, std::move(stop));
        return is_upgraded(!why, why);
    }
#endif
    /** Writes a key of the KV store, if and only if the lock is held. */
    void put_if_held(const std::string &key, std::string_view value) {
        detail::or_throw([&](failure &why) { return put_if_held(key, value, why); });
    }
    /** Deletes a key of the KV store, if and only if the lock is held. */
    void delete_if_held(const std::string &key) {
        detail::or_throw([&](failure &why) { return delete_if_held(key, why); });
    }
    /** Sets the value to store, instead of option and generator. Call it before acquire(). */
    void set_value(std::string_view bytes) {
        detail::or_throw([&](failure &why) { return set_value(bytes, why); });
    }
    /** Sets the callable that the library calls when the lock is lost; nullptr: none. */
    template <class F> void on_lost(F &&lost) {
        detail::or_throw([&](failure &why) { return on_lost(std::forward<F>(lost), why); });
    }
    /** Begins acquire(). */
    template <class F> void acquire_start(F &&done) {
        detail::or_throw([&](failure &why) { return acquire_start(std::forward<F>(done), why); });
    }
    /** Begins release(). */
    template <class F> void release_start(F &&done) {
        detail::or_throw([&](failure &why) { return release_start(std::forward<F>(done), why); });
    }
    /** Begins renew(). */
    template <class F> void renew_start(F &&done) {
        detail::or_throw([&](failure &why) { return renew_start(std::forward<F>(done), why); });
    }
    /** Begins check(). */
    template <class F> void check_start(F &&done) const {
        detail::or_throw([&](failure &why) { return check_start(std::forward<F>(done), why); });
    }
    /** Begins downgrade(). */
    template <class F> void downgrade_start(F &&done) {
        detail::or_throw([&](failure &why) { return downgrade_start(std::forward<F>(done), why); });
    }
    /** Begins upgrade(). */
    template <class F> void upgrade_start(std::chrono::milliseconds wait, F &&done) {
        detail::or_throw(
            [&](failure &why) { return upgrade_start(wait, std::forward<F>(done), why); });
    }
    /** Begins put_if_held(). */
    template <class F>
    void put_if_held_start(const std::string &key, std::string_view value, F &&done) {
        detail::or_throw([&](failure &why) {
            return put_if_held_start(key, value, std::forward<F>(done), why);
        });
    }
    /** Begins delete_if_held(). */
    template <class F> void delete_if_held_start(const std::string &key, F &&done) {
        detail::or_throw(
            [&](failure &why) { return delete_if_held_start(key, std::forward<F>(done), why); });
    }
#endif

    /** Ends a pending or a later acquire, and a pending upgrade, with CANCELLED. A held lock stays
     * held. */
    void cancel() noexcept { consul_lock_cancel(native()); }
    /** Gives up the object but not the lock, which stays in Consul until its TTL ends it. */
    void abandon() noexcept { consul_lock_abandon(lock_.release()); }
    /** Whether the lock is held, by the local clock. Sends nothing. */
    bool is_held() const noexcept { return consul_lock_is_held(native()); }
    /** How the lock was lost; empty: it was not, as far as this process knows. */
    std::optional<consul_lock_lost_reason> lost_reason() const noexcept {
        return detail::reason(consul_lock_why_lost(native()));
    }
    /** How much of the lock's life is left, by the local clock; zero: it is not held. */
    std::chrono::milliseconds remaining() const noexcept {
        return std::chrono::milliseconds(consul_lock_remaining_ms(native()));
    }
    /** A number that grows with every acquisition of the key, and with each downgrade and upgrade;
     * 0 before the acquire. */
    std::uint64_t fencing_token() const noexcept { return consul_lock_fencing_token(native()); }
    /** The full key: the lock's place in the KV store. Of several keys the first. */
    std::string key() const { return detail::text(native(), consul_lock_key); }
    /** The full keys, in the order of their bytes. */
    std::vector<std::string> keys() const {
        std::vector<std::string> out(consul_lock_keys_count(native()));
        for (std::size_t n = 0; n < out.size(); n++) {
            out[n] = detail::text_by([&](char *buf, std::size_t cap) {
                return consul_lock_key_at(native(), n, buf, cap);
            });
        }
        return out;
    }
    /** The slot of a lock that shares its key with a limit: a number from 0 and below the limit,
     * which no other lock has that shares the key at the same time. Empty: it has none. */
    std::optional<int> slot() const noexcept {
        const std::int32_t number = consul_lock_slot(native());
        return number < 0 ? std::nullopt : std::optional<int>(number);
    }
    /** The id of the session that holds, or held, the lock; empty before the acquire. */
    std::string session_id() const { return detail::text(native(), consul_lock_session_id); }
    /** The object of C, which belongs to this object. */
    const consul_lock *native() const noexcept { return lock_.get(); }
    /** The object of C, which belongs to this object. */
    consul_lock *native() noexcept { return lock_.get(); }

  private:
    explicit lock(consul_lock *made) : lock_(made) {}

    bool set_lost_callback(consul_lock_lost_callback callback, void *data,
                           consul_lock_user_data_free free, failure &why) noexcept {
        // C frees the data, also of a lock that was moved from.
        if (detail::ask(why, consul_lock_set_lost_callback, native(), callback, data, free)) {
            return true;
        }
        is_here(native(), why);
        return false;
    }
    /* Calls a function of C with this lock, if there is one. */
    template <class F, class L, class... A>
    static bool call(failure &why, F function, L *native, A... arguments) noexcept {
        return is_here(native, why) && detail::ask(why, function, native, arguments...);
    }
#if CONSUL_LOCKS_EXCEPTIONS
    static bool is_upgraded(bool worked, const failure &why) {
        if (!worked && why.code() != CONSUL_LOCK_NOT_ACQUIRED) {
            detail::raise(why);
        }
        return worked;
    }
#if defined(__cpp_lib_jthread)
    failure stoppable_upgrade(std::chrono::milliseconds wait, std::stop_token stop);
#endif
#endif
    static bool is_here(const consul_lock *native, failure &why) noexcept {
        return native != nullptr ||
               why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "the lock was moved from, or abandoned");
    }
    template <class F> static void tell_lost(consul_lock_lost_reason reason, void *data) noexcept {
        F &lost = *static_cast<F *>(data);
        if constexpr (std::is_invocable_v<F &, consul_lock_lost_reason>) {
            lost(reason);
        } else {
            lost();
        }
    }
    template <class F, class C, class L, class... A>
    static bool begin(failure &why, F &&done, C function, L *native, A... arguments) {
        return is_here(native, why) &&
               detail::begin(why, std::forward<F>(done),
                             consul_lock_done{detail::completed<std::decay_t<F>>}, function, native,
                             arguments...);
    }

    detail::owned<consul_lock> lock_;
};

/* ---- The scoped form ---- */

namespace detail {

/* Calls a block with the arguments that it takes. Its stop_token stops when the lock is lost. */
class scope {
  public:
#if defined(__cpp_lib_jthread)
    template <class F> static constexpr bool wants_token =
        std::is_invocable_v<F, lock &, std::stop_token>;
#else
    template <class F> static constexpr bool wants_token = false;
#endif

    template <class F> bool prepare([[maybe_unused]] lock &held, [[maybe_unused]] failure &why) {
#if defined(__cpp_lib_jthread)
        if constexpr (wants_token<F>) {
            return held.on_lost([source = source_]() mutable { source.request_stop(); }, why);
        }
#endif
        return true;
    }
    template <class F> decltype(auto) run(F &&block, lock &held) {
#if defined(__cpp_lib_jthread)
        if constexpr (wants_token<F>) {
            return std::forward<F>(block)(held, source_.get_token());
        } else
#endif
            if constexpr (std::is_invocable_v<F, lock &>) {
            return std::forward<F>(block)(held);
        } else {
            return std::forward<F>(block)();
        }
    }

#if defined(__cpp_lib_jthread)
  private:
    std::stop_source source_;
#endif
};

/* Releases the lock of a block, unless the block has released, abandoned or moved it. */
inline bool give_back(lock &held, failure &why) noexcept {
    if (held.native() == nullptr || held.release(why) || why.code() == CONSUL_LOCK_NOT_HELD) {
        why = failure();
    }
    return !why;
}

/* The scoped form with a lock that was made. Empty: `why` has the reason. */
template <class F> bool hold(std::optional<lock> held, F &&block, failure &why) {
    scope scope;
    if (!held || !scope.template prepare<F>(*held, why) || !held->acquire(why)) {
        return false;
    }
    scope.run(std::forward<F>(block), *held);
    return give_back(*held, why);
}

} // namespace detail

/**
 * Takes the lock, runs the block, and releases the lock. The block takes nothing, a
 * consul_locks::lock &, or, in C++20, that and a std::stop_token, which stops when the lock is
 * lost. Returns whether all went well. Else `why` says why the block did not run, or why the
 * release failed: LOST when the lock was lost while the block ran.
 */
template <class F> bool hold(const std::string &key, const options &from, F &&block, failure &why) {
    return detail::hold(lock::make(key, from, why), std::forward<F>(block), why);
}

/** The same with one lock on several keys: of a list in braces, or of any range of texts. */
template <class K = detail::list, class F, class = detail::if_keys<K>>
bool hold(const K &keys, const options &from, F &&block, failure &why) {
    return detail::hold(lock::make(keys, from, why), std::forward<F>(block), why);
}

#if CONSUL_LOCKS_EXCEPTIONS
namespace detail {

/* Runs the block of a scoped form, after `acquire` has taken the lock. */
template <class A, class F> decltype(auto) hold(lock &held, A acquire, F &&block) {
    detail::scope scope;
    failure why;
    scope.template prepare<F>(held, why);
    detail::raise(why);
    acquire();
    using result = decltype(scope.run(std::forward<F>(block), held));
    const auto give_back = [&] {
        detail::give_back(held, why);
        detail::raise(why);
    };
    if constexpr (std::is_void_v<result>) {
        scope.run(std::forward<F>(block), held);
        give_back();
    } else if constexpr (std::is_reference_v<result>) {
        result &&kept = scope.run(std::forward<F>(block), held);
        give_back();
        return static_cast<result>(kept);
    } else {
        result kept = scope.run(std::forward<F>(block), held);
        give_back();
        return kept;
    }
}

} // namespace detail

/** The same, but throws, and returns what the block returns. An exception of the block wins. */
template <class F> decltype(auto) hold(const std::string &key, const options &from, F &&block) {
    lock held(key, from);
    return detail::hold(
        held, [&] { held.acquire(); }, std::forward<F>(block));
}
/** The same with the default options. */
template <class F> decltype(auto) hold(const std::string &key, F &&block) {
    return hold(key, options(), std::forward<F>(block));
}
/** The same with one lock on several keys: `hold({"a", "b"}, options, block)`. */
template <class K = detail::list, class F, class = detail::if_keys<K>>
decltype(auto) hold(const K &keys, const options &from, F &&block) {
    lock held(keys, from);
    return detail::hold(
        held, [&] { held.acquire(); }, std::forward<F>(block));
}
/** The same with the default options. */
template <class K = detail::list, class F, class = detail::if_keys<K>>
decltype(auto) hold(const K &keys, F &&block) {
    return hold(keys, options(), std::forward<F>(block));
}
#if defined(__cpp_lib_jthread)
/** The same; a requested stop ends the wait with CANCELLED. */
template <class F>
decltype(auto) hold(const std::string &key, const options &from, std::stop_token stop, F &&block) {
    lock held(key, from);
    return detail::hold(
        held, [&] { held.acquire(stop); }, std::forward<F>(block));
}
/** The same with one lock on several keys. */
template <class K = detail::list, class F, class = detail::if_keys<K>>
decltype(auto) hold(const K &keys, const options &from, std::stop_token stop, F &&block) {
    lock held(keys, from);
    return detail::hold(
        held, [&] { held.acquire(stop); }, std::forward<F>(block));
}
#endif
#endif

/* ---- The holder ---- */

/** The holder of a lock at the moment of Consul's answer. */
struct holder_info {
    std::string session;             ///< The id of the session.
    std::string name;                ///< The session's name; empty: Consul would not say.
    std::string node;                ///< The session's node; empty: Consul would not say.
    std::string value;               ///< The value under the key: data of another program.
    std::uint64_t fencing_token = 0; ///< The holder's fencing token.
    /// When the holder took the lock, by its own clock; empty: the stored value does not say it.
    std::optional<std::chrono::system_clock::time_point> since;
    std::chrono::milliseconds ttl{0}; ///< The session's TTL; zero: none, or Consul would not say.
};

namespace detail {

inline holder_info read(const consul_lock_holder_info *raw) {
    holder_info out;
    out.session = text<consul_lock_holder_info>(raw, consul_lock_holder_session);
    out.name = text<consul_lock_holder_info>(raw, consul_lock_holder_name);
    out.node = text<consul_lock_holder_info>(raw, consul_lock_holder_node);
    out.value.resize(consul_lock_holder_value(raw, nullptr, 0));
    consul_lock_holder_value(raw, out.value.data(), out.value.size());
    out.fencing_token = consul_lock_holder_fencing_token(raw);
    if (const std::int64_t since = consul_lock_holder_since_ms(raw)) {
        out.since.emplace(std::chrono::milliseconds(since));
    }
    out.ttl = std::chrono::milliseconds(consul_lock_holder_ttl_ms(raw));
    return out;
}

inline std::optional<holder_info> take(consul_lock_holder_info *raw) {
    const owned<consul_lock_holder_info> found(raw);
    return found ? std::optional(read(raw)) : std::nullopt;
}

/* A consul_lock_holder_done for a callable. */
template <class F> void found(consul_lock_status status, consul_lock_holder_info *raw,
                              consul_lock_error *error, void *data) noexcept {
    const std::unique_ptr<F> done(static_cast<F *>(data));
    failure why;
    why.take(status, error);
    (*done)(take(raw), std::move(why));
}

inline const consul_lock_client *of(const client *with) noexcept {
    return with != nullptr ? with->native() : nullptr;
}

/* Refuses a client that was moved from, which C would take for the default client. */
inline bool is_client(const client *with, failure &why) noexcept {
    return with == nullptr || with->native() != nullptr ||
           why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "the client was moved away");
}

} // namespace detail

/** Asks Consul which session holds the lock on `key`. Empty: the lock is free, or `why` has the
 * reason. If `with` is null, the default client asks. */
inline std::optional<holder_info> holder(const std::string &key, const client *with, failure &why) {
    consul_lock_holder_info *raw = nullptr;
    if (!detail::is_key(key, why) || !detail::is_client(with, why) ||
        !detail::ask(why, consul_lock_holder, detail::of(with), key.c_str(), &raw)) {
        return std::nullopt;
    }
    return detail::take(raw);
}

/** Begins holder(): `done` receives a std::optional<holder_info> and a failure. */
template <class F>
bool holder_start(const std::string &key, const client *with, F &&done, failure &why) {
    return detail::is_key(key, why) && detail::is_client(with, why) &&
           detail::begin(why, std::forward<F>(done),
                         consul_lock_holder_done{detail::found<std::decay_t<F>>},
                         consul_lock_holder_start, detail::of(with), key.c_str());
}

/* ---- Holders and waiters ---- */

/** A session that shares a key. */
struct sharer_info : holder_info {
    std::optional<int> limit; ///< How many may share the key; empty: there is no limit.
    std::optional<int> slot;  ///< The number among those with a limit, from 0.
};

/** A session in the line of a key: it stands for all waiters of one client in one process that want
 * the same. Value and fencing token are empty. */
struct waiter_info : holder_info {
    bool shares = false;           ///< The session waits for a share of the key, not for the whole.
    std::optional<int> limit;      ///< The limit of that share; empty: none.
    std::vector<std::string> keys; ///< The keys that the session waits for, if there are several.
};

/** All sessions that hold a key or wait for it. */
struct holders_info {
    /// The exclusive holder. While others still share the key, this session waits for their end.
    std::optional<holder_info> exclusive;
    std::vector<sharer_info> sharers; ///< The sessions that share the key.
    std::vector<waiter_info> line;    ///< The waiters, in the order of the line.
    std::string json;                 ///< The same as JSON, which docs/guide.md describes.
};

namespace detail {

/* A limit from C, where 0 means exclusive, and 1024 no limit. */
inline std::optional<int> limit(std::int32_t number) noexcept {
    return number > 0 && number < 1024 ? std::optional<int>(number) : std::nullopt;
}

inline sharer_info read_sharer(const consul_lock_holders_info *all, std::size_t index) {
    sharer_info out;
    static_cast<holder_info &>(out) = read(consul_lock_holders_get(all, index));
    out.limit = limit(consul_lock_holders_limit(all, index));
    const std::int32_t slot = consul_lock_holders_slot(all, index);
    out.slot = slot >= 0 ? std::optional<int>(slot) : std::nullopt;
    return out;
}

inline waiter_info read_waiter(const consul_lock_holders_info *all, std::size_t index) {
    waiter_info out;
    static_cast<holder_info &>(out) = read(consul_lock_holders_get(all, index));
    const std::int32_t number = consul_lock_holders_limit(all, index);
    out.shares = number > 0;
    out.limit = limit(number);
    const std::size_t count = consul_lock_holders_key_count(all, index);
    for (std::size_t i = 0; i < count; i++) {
        std::string key(consul_lock_holders_key(all, index, i, nullptr, 0), '\0');
        consul_lock_holders_key(all, index, i, key.data(), key.size() + 1);
        out.keys.push_back(std::move(key));
    }
    return out;
}

inline holders_info take(consul_lock_holders_info *raw) {
    const owned<consul_lock_holders_info> all(raw);
    holders_info out;
    out.json = text<consul_lock_holders_info>(raw, consul_lock_holders_json);
    const std::size_t count = consul_lock_holders_count(raw);
    for (std::size_t i = 0; i < count; i++) {
        switch (consul_lock_holders_role(raw, i)) {
        case CONSUL_LOCK_ROLE_EXCLUSIVE:
            out.exclusive = read(consul_lock_holders_get(raw, i));
            break;
        case CONSUL_LOCK_ROLE_SHARER:
            out.sharers.push_back(read_sharer(raw, i));
            break;
        case CONSUL_LOCK_ROLE_WAITER:
            out.line.push_back(read_waiter(raw, i));
            break;
        case CONSUL_LOCK_ROLE_NONE:
            break;
        }
    }
    return out;
}

/* A consul_lock_holders_done for a callable. */
template <class F> void found_all(consul_lock_status status, consul_lock_holders_info *raw,
                                  consul_lock_error *error, void *data) noexcept {
    const std::unique_ptr<F> done(static_cast<F *>(data));
    failure why;
    why.take(status, error);
    (*done)(take(raw), std::move(why));
}

} // namespace detail

/** Asks Consul which sessions hold `key` and which wait for it. If `with` is null, the default
 * client asks. On failure `why` has the reason. */
inline holders_info holders(const std::string &key, const client *with, failure &why) {
    if (!detail::is_key(key, why) || !detail::is_client(with, why)) {
        return holders_info();
    }
    return detail::take(detail::make(why, consul_lock_holders, detail::of(with), key.c_str()));
}

/** Begins holders(): `done` receives a holders_info and a failure. */
template <class F>
bool holders_start(const std::string &key, const client *with, F &&done, failure &why) {
    return detail::is_key(key, why) && detail::is_client(with, why) &&
           detail::begin(why, std::forward<F>(done),
                         consul_lock_holders_done{detail::found_all<std::decay_t<F>>},
                         consul_lock_holders_start, detail::of(with), key.c_str());
}

/* ---- Observers ---- */

/**
 * An observer of a key's exclusive holder; move-only. A thread of the library calls the callable at
 * once and at each change, with a std::optional<holder_info> (empty: no session holds the key
 * exclusively) and a failure, which says why the library does not know the holder now. See
 * consul_lock_observe(). The destructor ends the observer, and waits for a call that is running.
 */
class observer {
  public:
    /** Begins to observe a key; empty on failure. If `with` is null, with the default client. */
    template <class F> static std::optional<observer>
    make(const std::string &key, const client *with, F &&changed, failure &why) {
        if (!detail::is_key(key, why) || !detail::is_client(with, why)) {
            return std::nullopt;
        }
        if (detail::is_empty(changed)) {
            why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "the callable is empty");
            return std::nullopt;
        }
        using function = std::decay_t<F>;
        // The library frees it, also when this fails.
        void *data = detail::boxed(std::forward<F>(changed)).release();
        return make(key, with, tell<function>, data, detail::drop<function>, why);
    }

  private:
    friend class queue;
    explicit observer(consul_lock_observer *made) : observer_(made) {}

    static std::optional<observer> make(const std::string &key, const client *with,
                                        consul_lock_observe_callback callback, void *data,
                                        consul_lock_user_data_free free, failure &why) noexcept {
        consul_lock_observer *made = detail::make(why, consul_lock_observe, detail::of(with),
                                                  key.c_str(), callback, data, free);
        return made != nullptr ? std::optional<observer>(observer(made)) : std::nullopt;
    }
    template <class F> static void tell(consul_lock_status status, consul_lock_holder_info *raw,
                                        consul_lock_error *error, void *data) noexcept {
        failure why;
        why.take(status, error);
        (*static_cast<F *>(data))(detail::take(raw), std::move(why));
    }

    detail::owned<consul_lock_observer> observer_;
};

/* ---- Queues, for event loops ---- */

/** One thing that happened. */
class event {
  public:
    /** The kind of the event. */
    consul_lock_event_kind_t kind() const noexcept { return consul_lock_event_kind(event_.get()); }
    /** The tag of the call that led to the event. */
    std::uint64_t tag() const noexcept { return consul_lock_event_tag(event_.get()); }
    /** The level of the log line, for CONSUL_LOCK_EVENT_LOG. */
    consul_lock_log_level level() const noexcept {
        return static_cast<consul_lock_log_level>(consul_lock_event_code(event_.get()));
    }
    /** How the lock was lost, for CONSUL_LOCK_EVENT_LOST. */
    std::optional<consul_lock_lost_reason> lost_reason() const noexcept {
        const bool lost = kind() == CONSUL_LOCK_EVENT_LOST;
        return detail::reason(lost ? consul_lock_event_code(event_.get()) : 0);
    }
    /** How a call ended. Call it once: the event gives its error away. */
    failure outcome() noexcept {
        failure why;
        const consul_lock_event_kind_t type = kind();
        if (type == CONSUL_LOCK_EVENT_DONE || type == CONSUL_LOCK_EVENT_HOLDER ||
            type == CONSUL_LOCK_EVENT_HOLDERS || type == CONSUL_LOCK_EVENT_OBSERVED) {
            why.take(static_cast<consul_lock_status>(consul_lock_event_code(event_.get())),
                     consul_lock_event_take_error(event_.get()));
        }
        return why;
    }
    /** The answer to queue::holder(), or the news of an observer. Call it once. */
    std::optional<holder_info> holder() {
        return detail::take(consul_lock_event_take_holder(event_.get()));
    }
    /** The answer to queue::holders(). Call it once. */
    holders_info holders() { return detail::take(consul_lock_event_take_holders(event_.get())); }
    /** The log line, for CONSUL_LOCK_EVENT_LOG. */
    std::string line() const {
        return detail::text<consul_lock_event>(event_.get(), consul_lock_event_line);
    }

  private:
    friend class queue;
    explicit event(consul_lock_event *taken) : event_(taken) {}
    detail::owned<consul_lock_event> event_;
};

/**
 * A queue of events, and a descriptor for poll() that is readable when events wait. Then call
 * next() until it returns nothing. The functions below begin a call, whose outcome becomes an event
 * with the given tag. With a failure & last they return whether the call began.
 */
class queue {
  public:
    /** Makes a queue; empty on failure. */
    static std::optional<queue> make(failure &why) {
        std::int32_t fd = -1;
        consul_lock_queue *made = detail::make(why, consul_lock_queue_new, &fd);
        return made != nullptr ? std::optional<queue>(queue(made, fd)) : std::nullopt;
    }
#if CONSUL_LOCKS_EXCEPTIONS
    /** Makes a queue. */
    queue() {
        failure why;
        queue_.reset(detail::make(why, consul_lock_queue_new, &fd_.number));
        detail::raise(why);
    }
#endif
    /** The descriptor for poll(), which belongs to this object. */
    int fd() const noexcept { return fd_.number; }
    /** Takes the event that has waited longest. Empty: none waits, and fd() is not readable. */
    std::optional<event> next() noexcept {
        consul_lock_event *taken = consul_lock_queue_next(queue_.get());
        if (taken == nullptr) {
            char bytes[64];
            while (::read(fd_.number, bytes, sizeof bytes) > 0) {
            }
            taken = consul_lock_queue_next(queue_.get()); // an event that came meanwhile
        }
        return taken != nullptr ? std::optional<event>(event(taken)) : std::nullopt;
    }

    /** Begins lock::acquire(). */
    bool acquire(lock &of, std::uint64_t tag, failure &why) noexcept {
        return begin(tag, why, consul_lock_queue_done, consul_lock_acquire_start, of.native());
    }
    /** Begins lock::release(). */
    bool release(lock &of, std::uint64_t tag, failure &why) noexcept {
        return begin(tag, why, consul_lock_queue_done, consul_lock_release_start, of.native());
    }
    /** Begins lock::renew(). */
    bool renew(lock &of, std::uint64_t tag, failure &why) noexcept {
        return begin(tag, why, consul_lock_queue_done, consul_lock_renew_start, of.native());
    }
    /** Begins lock::downgrade(). */
    bool downgrade(lock &of, std::uint64_t tag, failure &why) noexcept {
        return begin(tag, why, consul_lock_queue_done, consul_lock_downgrade_start, of.native());
    }
    /** Begins lock::upgrade(). */
    bool upgrade(lock &of, std::chrono::milliseconds wait, std::uint64_t tag,
                 failure &why) noexcept {
        return begin(tag, why, consul_lock_queue_done, consul_lock_upgrade_start, of.native(),
                     static_cast<std::int64_t>(wait.count()));
    }
    /** Begins lock::check(). */
    bool check(const lock &of, std::uint64_t tag, failure &why) noexcept {
        return begin(tag, why, consul_lock_queue_done, consul_lock_check_start, of.native());
    }
    /** Begins holder(). */
    bool holder(const std::string &key, const client *with, std::uint64_t tag,
                failure &why) noexcept {
        return detail::is_key(key, why) && detail::is_client(with, why) &&
               begin(tag, why, consul_lock_queue_holder_done, consul_lock_holder_start,
                     detail::of(with), key.c_str());
    }
    /** Begins holders(). */
    bool holders(const std::string &key, const client *with, std::uint64_t tag,
                 failure &why) noexcept {
        return detail::is_key(key, why) && detail::is_client(with, why) &&
               begin(tag, why, consul_lock_queue_holders_done, consul_lock_holders_start,
                     detail::of(with), key.c_str());
    }
    /** Makes an event of each change of the key's holder, until the observer ends; empty on
     * failure.
     */
    std::optional<observer> observe(const std::string &key, const client *with, std::uint64_t tag,
                                    failure &why) noexcept {
        if (!detail::is_key(key, why) || !detail::is_client(with, why)) {
            return std::nullopt;
        }
        void *sender = consul_lock_sender_new(queue_.get(), tag);
        if (sender == nullptr) {
            why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "the queue was moved from");
            return std::nullopt;
        }
        return observer::make(key, with, consul_lock_queue_observed, sender,
                              consul_lock_sender_free, why);
    }
    /** Makes an event of the loss of the lock. */
    bool on_lost(lock &of, std::uint64_t tag, failure &why) noexcept {
        return detail::ask(why, consul_lock_set_lost_callback, of.native(), consul_lock_queue_lost,
                           static_cast<void *>(consul_lock_sender_new(queue_.get(), tag)),
                           consul_lock_sender_free);
    }
    /** Makes an event of each log line from `level` up. */
    void on_log(consul_lock_log_level level, std::uint64_t tag) noexcept {
        consul_lock_set_log_callback(consul_lock_queue_log,
                                     consul_lock_sender_new(queue_.get(), tag),
                                     consul_lock_sender_free, level);
    }
    /** Gives the lock up when this queue ends; see consul_lock_bind_to_queue(). */
    bool bind(lock &of, failure &why) noexcept {
        return detail::ask(why, consul_lock_bind_to_queue, of.native(), native());
    }
#if CONSUL_LOCKS_EXCEPTIONS
    /** Begins lock::acquire(). */
    void acquire(lock &of, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return acquire(of, tag, why); });
    }
    /** Begins lock::release(). */
    void release(lock &of, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return release(of, tag, why); });
    }
    /** Begins lock::renew(). */
    void renew(lock &of, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return renew(of, tag, why); });
    }
    /** Begins lock::downgrade(). */
    void downgrade(lock &of, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return downgrade(of, tag, why); });
    }
    /** Begins lock::upgrade(). */
    void upgrade(lock &of, std::chrono::milliseconds wait, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return upgrade(of, wait, tag, why); });
    }
    /** Begins lock::check(). */
    void check(const lock &of, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return check(of, tag, why); });
    }
    /** Begins holder(). */
    void holder(const std::string &key, const client *with, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return holder(key, with, tag, why); });
    }
    /** Begins holders(). */
    void holders(const std::string &key, const client *with, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return holders(key, with, tag, why); });
    }
    /** Makes an event of each change of the key's holder, until the observer ends. */
    observer observe(const std::string &key, const client *with, std::uint64_t tag) {
        return *detail::or_throw([&](failure &why) { return observe(key, with, tag, why); });
    }
    /** Makes an event of the loss of the lock. */
    void on_lost(lock &of, std::uint64_t tag) {
        detail::or_throw([&](failure &why) { return on_lost(of, tag, why); });
    }
    /** Gives the lock up when this queue ends; see consul_lock_bind_to_queue(). */
    void bind(lock &of) {
        detail::or_throw([&](failure &why) { return bind(of, why); });
    }
#endif
    /** The object of C, which belongs to this object. */
    const consul_lock_queue *native() const noexcept { return queue_.get(); }

  private:
    struct descriptor {
        std::int32_t number = -1;
        descriptor() = default;
        explicit descriptor(std::int32_t fd) : number(fd) {}
        descriptor(descriptor &&from) noexcept : number(std::exchange(from.number, -1)) {}
        descriptor &operator=(descriptor &&from) noexcept {
            std::swap(number, from.number);
            return *this;
        }
        ~descriptor() {
            if (number >= 0) {
                ::close(number);
            }
        }
    };

    queue(consul_lock_queue *made, std::int32_t fd) : fd_(fd), queue_(made) {}

    template <class C, class F, class... A>
    bool begin(std::uint64_t tag, failure &why, C done, F function, A... arguments) noexcept {
        detail::owned<consul_lock_sender> sender(consul_lock_sender_new(queue_.get(), tag));
        if (!sender) {
            return why.refuse(CONSUL_LOCK_INVALID_ARGUMENT, "the queue was moved from");
        }
        if (!detail::ask(why, function, arguments..., done, static_cast<void *>(sender.get()))) {
            return false;
        }
        sender.release(); // the library owns it now, and may have freed it already
        return true;
    }

    descriptor fd_;
    detail::owned<consul_lock_queue> queue_;
};

#if CONSUL_LOCKS_EXCEPTIONS && defined(__cpp_lib_jthread)
/* A cancel before the upgrade has begun would change nothing, so the stop comes after that. */
inline failure lock::stoppable_upgrade(std::chrono::milliseconds wait, std::stop_token stop) {
    queue outcomes;
    outcomes.upgrade(*this, wait, 0);
    const std::stop_callback cancelling(std::move(stop), [this] { cancel(); });
    for (;;) {
        if (std::optional<event> end = outcomes.next()) {
            return end->outcome();
        }
        pollfd ready = {outcomes.fd(), POLLIN, 0};
        ::poll(&ready, 1, -1);
    }
}
#endif

/* ---- Of the whole process ---- */

namespace detail {

/* A consul_lock_value_generator for a callable. */
template <class F> int generate(consul_lock_value *place, void *data) noexcept {
    thrown_by_generator() = nullptr;
    std::optional<std::string> made;
#if CONSUL_LOCKS_EXCEPTIONS
    try {
        made = (*static_cast<F *>(data))();
        if (made && made->size() > CONSUL_LOCK_MAX_VALUE) {
            throw std::length_error("a value of " + std::to_string(made->size()) +
                                    " bytes is too long to be stored");
        }
    } catch (...) {
        thrown_by_generator() = std::current_exception();
    }
#else
    made = (*static_cast<F *>(data))();
#endif
    const bool has_value =
        made && consul_lock_value_set(place, made->data(), made->size()) == CONSUL_LOCK_OK;
    return has_value ? 0 : 1;
}

/* A consul_lock_log_callback for a callable. */
template <class F>
void tell_line(consul_lock_log_level level, const char *line, void *data) noexcept {
    (*static_cast<F *>(data))(level, std::string_view(line));
}

} // namespace detail

/** Sets a process-wide default, from a text, a whole number or a bool. */
template <class T> bool set_default(const std::string &option, const T &value, failure &why) {
    std::string text;
    if constexpr (std::is_same_v<T, bool>) {
        text = value ? "true" : "false";
    } else if constexpr (std::is_integral_v<T>) {
        text = std::to_string(value);
    } else {
        text = value;
    }
    if (detail::has_nul(option) || detail::has_nul(text)) {
        return why.refuse(CONSUL_LOCK_INVALID_OPTION, "a default's name or value contains a NUL");
    }
    return detail::ask(why, consul_lock_defaults_set, option.c_str(), text.c_str());
}

/** Makes the client from the environment the default client again. */
inline void reset_default_client() noexcept { consul_lock_set_default_client(nullptr); }

/** The statistics of the default client: JSON, described in docs/guide.md. Empty if that client
 * cannot be made; the constructor of a lock throws the reason. */
inline std::string stats() {
    return detail::text<consul_lock_client>(nullptr, consul_lock_client_stats);
}

/**
 * Sets the callable that makes the stored value of later locks. It returns a std::string or a
 * std::optional of one. nullptr: back to "locked_at". The thread that acquires calls it, and
 * several threads may do so at once. VALUE_FAILED: the callable returned no value or one that is
 * too long, or threw. Then cause() is the exception (std::length_error for a value that is too
 * long), and the lock is not used up.
 */
template <class F> void set_value_generator(F &&generator) {
    if constexpr (!detail::is_nullptr<F>) {
        if (!detail::is_empty(generator)) {
            using function = std::decay_t<F>;
            consul_lock_set_value_generator(detail::generate<function>,
                                            detail::boxed(std::forward<F>(generator)).release(),
                                            detail::drop<function>);
            return;
        }
    }
    consul_lock_set_value_generator(nullptr, nullptr, nullptr);
}

/**
 * Sets the callable that receives each log line from `level` up: a consul_lock_log_level, and a
 * std::string_view that is valid during the call. nullptr: the log is off.
 */
template <class F> void on_log(consul_lock_log_level level, F &&listener) {
    if constexpr (!detail::is_nullptr<F>) {
        if (!detail::is_empty(listener)) {
            using function = std::decay_t<F>;
            consul_lock_set_log_callback(detail::tell_line<function>,
                                         detail::boxed(std::forward<F>(listener)).release(),
                                         detail::drop<function>, level);
            return;
        }
    }
    consul_lock_set_log_callback(nullptr, nullptr, nullptr, level);
}

/** Waits for releases in progress, and destroys the sessions kept for reuse: for an orderly exit.
 * UNCONFIRMED: something was still in progress at the end of the time. */
inline bool shutdown(std::chrono::milliseconds timeout, failure &why) noexcept {
    return detail::ask(why, consul_lock_shutdown, static_cast<std::int64_t>(timeout.count()));
}

/** Begins shutdown(): `done` receives a failure. */
template <class F> bool shutdown_start(std::chrono::milliseconds timeout, F &&done, failure &why) {
    return detail::begin(why, std::forward<F>(done),
                         consul_lock_done{detail::completed<std::decay_t<F>>},
                         consul_lock_shutdown_start, static_cast<std::int64_t>(timeout.count()));
}

/** The version of the running library; CONSUL_LOCK_VERSION is that of the header. */
inline const char *version() noexcept { return consul_lock_version(); }

/** Whether the running library has the ABI version of this header. */
inline bool is_compatible() noexcept {
    return consul_lock_abi_version() == CONSUL_LOCK_ABI_VERSION;
}

#if CONSUL_LOCKS_EXCEPTIONS
/** Asks Consul which session holds the lock on `key`. Empty: the lock is free. */
inline std::optional<holder_info> holder(const std::string &key, const client *with = nullptr) {
    return detail::or_throw([&](failure &why) { return holder(key, with, why); });
}
/** Begins holder(). Throws only when it cannot begin. */
template <class F> void holder_start(const std::string &key, const client *with, F &&done) {
    detail::or_throw(
        [&](failure &why) { return holder_start(key, with, std::forward<F>(done), why); });
}
/** Asks Consul which sessions hold `key` and which wait for it. */
inline holders_info holders(const std::string &key, const client *with = nullptr) {
    return detail::or_throw([&](failure &why) { return holders(key, with, why); });
}
/** Begins holders(). Throws only when it cannot begin. */
template <class F> void holders_start(const std::string &key, const client *with, F &&done) {
    detail::or_throw(
        [&](failure &why) { return holders_start(key, with, std::forward<F>(done), why); });
}
/** Begins to observe the exclusive holder of `key`, until the observer ends. */
template <class F>
observer observe(const std::string &key, F &&changed, const client *with = nullptr) {
    return *detail::or_throw(
        [&](failure &why) { return observer::make(key, with, std::forward<F>(changed), why); });
}
/** Sets a process-wide default, from a text, a whole number or a bool. */
template <class T> void set_default(const std::string &option, const T &value) {
    detail::or_throw([&](failure &why) { return set_default(option, value, why); });
}
/** Waits for releases in progress, and destroys the sessions kept for reuse: for an orderly exit.
 */
inline void shutdown(std::chrono::milliseconds timeout) {
    detail::or_throw([&](failure &why) { return shutdown(timeout, why); });
}
/** Begins shutdown(). Throws only when it cannot begin. */
template <class F> void shutdown_start(std::chrono::milliseconds timeout, F &&done) {
    detail::or_throw(
        [&](failure &why) { return shutdown_start(timeout, std::forward<F>(done), why); });
}
#endif

} // namespace consul_locks

#endif /* CONSUL_LOCK_HPP */
