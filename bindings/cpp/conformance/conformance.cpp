// Runs the conformance suite through consul_lock.hpp: bindings/conformance/README.md says how.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

#include "process.hpp"
#include "steps.hpp"

using namespace std::chrono_literals;
using steps::words;

namespace {

constexpr auto patience = 30s;

// Words of another thread, for which this one waits.
template <class T> class told {
  public:
    void tell(T what) {
        std::lock_guard<std::mutex> guard(mutex_);
        told_.push_back(std::move(what));
        changed_.notify_all();
    }
    template <class F> T wait(F wanted) {
        std::unique_lock<std::mutex> guard(mutex_);
        auto found = told_.end();
        auto is_there = [&] {
            found = std::find_if(told_.begin(), told_.end(), wanted);
            return found != told_.end();
        };
        if (!changed_.wait_for(guard, patience, is_there)) {
            throw std::runtime_error("waited in vain");
        }
        return *found;
    }
    // The first words that this function has not returned yet.
    T next() {
        std::unique_lock<std::mutex> guard(mutex_);
        if (!changed_.wait_for(guard, patience, [&] { return seen_ < told_.size(); })) {
            throw std::runtime_error("waited in vain");
        }
        return told_[seen_++];
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<T> told_;
    std::size_t seen_ = 0;
};

// What an observer was told.
struct news {
    std::optional<consul_locks::holder_info> holder;
    std::optional<consul_locks::error> error;
};

struct log_line {
    std::string level, line;
};

// Ends a call from another thread: by a stop_token in C++20, by cancel() before.
#if defined(__cpp_lib_jthread)
struct stopper {
    std::stop_source source;
    void stop(consul_locks::lock &) { source.request_stop(); }
    void acquire(consul_locks::lock &lock) { lock.acquire(source.get_token()); }
    void upgrade(consul_locks::lock &lock, std::chrono::milliseconds wait) {
        lock.upgrade(wait, source.get_token());
    }
    bool try_acquire(consul_locks::lock &lock) { return lock.try_acquire(source.get_token()); }
};
#else
struct stopper {
    void stop(consul_locks::lock &lock) { lock.cancel(); }
    void acquire(consul_locks::lock &lock) { lock.acquire(); }
    void upgrade(consul_locks::lock &lock, std::chrono::milliseconds wait) { lock.upgrade(wait); }
    bool try_acquire(consul_locks::lock &lock) { return lock.try_acquire(); }
};
#endif

struct task {
    std::string lock;
    std::future<steps::answer> end;
    stopper stop;
    bool interrupted = false;
};

std::chrono::milliseconds milliseconds(const std::string &word) {
    return std::chrono::milliseconds(std::stoll(word));
}

// The words of an answer, with a space between two.
std::string spaced(const words &from) {
    std::string out;
    for (const std::string &word : from) {
        out += (out.empty() ? "" : " ") + word;
    }
    return out;
}

std::string or_none(const std::optional<int> &number) {
    return number ? std::to_string(*number) : "none";
}

const char *yes_or_no(bool is_so) { return is_so ? "true" : "false"; }

class scene {
  public:
    scene(const steps::file &file, std::map<std::string, std::string> variables)
        : file_(file), variables_(std::move(variables)) {}

    ~scene() {
        for (auto &[name, begun] : tasks_) {
            find(begun.lock).cancel();
        }
        tasks_.clear(); // waits for them
        for (auto &[name, lock] : locks_) {
            lock.abandon();
        }
    }

    // Executes the steps from `at` up to `end`, and reports the outcome.
    bool run(std::size_t at, std::size_t end, const std::function<void(const std::string &)> &say) {
        try {
            run(at, end);
            for (const auto &[name, value] : stored_) {
                say("as " + name + " " + value);
            }
            say("ok");
            return true;
        } catch (const steps::failure &failure) {
            say("FAILED line " + std::to_string(failure.line) + ": " + failure.why);
            return false;
        }
    }

  private:
    struct verb {
        std::size_t least, most; // arguments
        std::function<std::string(scene &, std::size_t, const words &)> execute;
    };
    static const std::map<std::string, verb> &verbs();

    void run(std::size_t at, std::size_t end) {
        while (at < end) {
            const bool is_block = file_.at(at).begins_block();
            const std::size_t last = is_block ? file_.end_of(at) : at;
            // The expectation of a `hold` stands at its end.
            const steps::step &judged = file_.at(file_.at(at).verb() == "hold" ? last : at);
            try {
                run_one(at, judged);
            } catch (const std::exception &wrong) {
                throw steps::failure{judged.line, wrong.what()};
            }
            at = last + 1;
        }
    }

    void run_one(std::size_t at, const steps::step &judged) {
        const words call = filled(file_.at(at).call);
        auto found = verbs().find(call[0]);
        if (found == verbs().end()) {
            throw std::runtime_error("unknown verb " + call[0]);
        }
        const verb &known = found->second;
        const std::size_t arguments = call.size() - 1;
        if (arguments < known.least || arguments > known.most) {
            throw std::runtime_error("wrong number of arguments");
        }
        const auto begun = std::chrono::steady_clock::now();
        const steps::answer got = steps::answer_of([&] { return known.execute(*this, at, call); });
        const auto took = std::chrono::steady_clock::now() - begun;
        steps::judge(filled(judged.expectation), got,
                     std::chrono::duration_cast<std::chrono::milliseconds>(took));
        if (const std::string &as = file_.at(at).as; !as.empty()) {
            variables_[as] = stored_[as] = got.said;
        }
    }

    consul_locks::lock &find(const std::string &name) {
        auto held = held_.find(name);
        return held != held_.end() ? *held->second : locks_.at(name);
    }

    const consul_locks::client *client_in(const words &call) const {
        for (const std::string &word : call) {
            if (word.rfind("client=", 0) == 0) {
                return &clients_.at(word.substr(7));
            }
        }
        return nullptr;
    }

    consul_locks::options options_in(const words &call, std::size_t first) const {
        consul_locks::options made;
        for (std::size_t n = first; n < call.size(); n++) {
            const std::size_t sign = call[n].find('=');
            const std::string name = call[n].substr(0, sign);
            if (name != "client" && name != "and") {
                made.set(name, call[n].substr(sign + 1));
            }
        }
        if (const consul_locks::client *with = client_in(call)) {
            made.use(*with);
        }
        return made;
    }

    // The key of a lock, and the further ones of its and= words.
    static words keys_in(const words &call) {
        words keys = {call[2]};
        for (const std::string &word : call) {
            if (word.rfind("and=", 0) == 0) {
                keys.push_back(word.substr(4));
            }
        }
        return keys;
    }

    consul_locks::lock made(const words &call) const {
        const words keys = keys_in(call);
        return keys.size() > 1 ? consul_locks::lock(keys, options_in(call, 3))
                               : consul_locks::lock(call[2], options_in(call, 3));
    }

    void watch(const std::string &name) {
        auto notice = std::make_shared<told<std::string>>();
        notices_[name] = notice;
        find(name).on_lost(
            [notice](consul_lock_lost_reason reason) { notice->tell(consul_locks::name(reason)); });
    }

    // Gives the lock of a block a name, as long as this object lives.
    struct scope {
        std::map<std::string, consul_locks::lock *> &names;
        const std::string &name;
        scope(std::map<std::string, consul_locks::lock *> &held, const std::string &as,
              consul_locks::lock &lock)
            : names(held), name(as) {
            names[name] = &lock;
        }
        ~scope() { names.erase(name); }
    };

    std::string hold(std::size_t at, const words &call) {
        auto block = [&](consul_locks::lock &lock) {
            const scope here(held_, call[1], lock);
            watch(call[1]);
            run(at + 1, file_.end_of(at));
        };
        try {
            if (const words keys = keys_in(call); keys.size() > 1) {
                consul_locks::hold(keys, options_in(call, 3), block);
            } else {
                consul_locks::hold(call[2], options_in(call, 3), block);
            }
            return "ok";
        } catch (const steps::own_error &) {
            return "raised";
        }
    }

    static std::string field_of(const consul_locks::holder_info &of, const std::string &field) {
        return field == "session"         ? of.session
               : field == "name"          ? of.name
               : field == "node"          ? of.node
               : field == "value"         ? of.value
               : field == "fencing_token" ? std::to_string(of.fencing_token)
                                          : throw std::runtime_error("no such field");
    }

    static std::string field_or_free(const std::optional<consul_locks::holder_info> &of,
                                     const std::string &field) {
        return of ? field_of(*of, field) : "free";
    }

    std::string holders(const words &call) const {
        const auto all = consul_locks::holders(call[1], client_in(call));
        const std::string &role = call[2], &field = call[3];
        words out;
        auto add = [&](const consul_locks::holder_info &of, const char *mode,
                       std::optional<int> limit, std::optional<int> slot, const words &keys) {
            out.push_back(field == "mode"    ? mode
                          : field == "limit" ? or_none(limit)
                          : field == "slot"  ? or_none(slot)
                          : field == "keys"  ? (keys.empty() ? "none" : spaced(keys))
                          : field == "count" ? ""
                                             : field_of(of, field));
        };
        add({}, "", {}, {}, {}); // refuses a field that does not exist
        out.clear();
        if (role == "exclusive") {
            if (all.exclusive) {
                add(*all.exclusive, "exclusive", {}, {}, {});
            }
        } else if (role == "sharers") {
            for (const auto &of : all.sharers) {
                add(of, "share", of.limit, of.slot, {});
            }
        } else if (role == "line") {
            for (const auto &of : all.line) {
                add(of, of.shares ? "share" : "exclusive", of.limit, {}, of.keys);
            }
        } else {
            throw std::runtime_error("no such role");
        }
        return field == "count" ? std::to_string(out.size()) : spaced(out);
    }

    void observe(const words &call) {
        auto heard = std::make_shared<told<news>>();
        auto changed = [heard](std::optional<consul_locks::holder_info> holder,
                               const consul_locks::failure &why) {
            heard->tell(
                {std::move(holder), why ? std::optional(consul_locks::error(why)) : std::nullopt});
        };
        observers_.erase(call[1]);
        observers_.emplace(call[1], consul_locks::observe(call[2], changed, client_in(call)));
        heard_[call[1]] = heard;
    }

    std::string observed(const words &call) const {
        const news latest = heard_.at(call[1])->next();
        if (latest.error) {
            throw consul_locks::error(*latest.error);
        }
        return field_or_free(latest.holder, call[2]);
    }

    static std::string use(const words &call, consul_locks::lock &lock, stopper stopper) {
        const std::string &verb = call[0];
        if (verb == "acquire") {
            stopper.acquire(lock);
            return "ok";
        }
        if (verb == "upgrade") {
            stopper.upgrade(lock, milliseconds(call.at(2)));
            return "ok";
        }
        return yes_or_no(verb == "try" ? stopper.try_acquire(lock) : lock.release());
    }

    void begin(const words &call) {
        stopper stop;
        auto run = [task = words(call.begin() + 2, call.end()), &lock = find(call[3]), stop] {
            return steps::answer_of([&] { return use(task, lock, stop); });
        };
        tasks_[call[1]] = {call[3], std::async(std::launch::async, run), stop, false};
        std::this_thread::sleep_for(50ms);
    }

    std::string join(const std::string &name) {
        if (auto child = children_.find(name); child != children_.end()) {
            const std::string output = child->second.output(patience);
            children_.erase(child);
            take_over(output);
            return "ok";
        }
        task &begun = tasks_.at(name);
        if (begun.end.wait_for(patience) != std::future_status::ready) {
            throw std::runtime_error("waited in vain");
        }
        const steps::answer answer = begun.end.get();
        const bool interrupted = begun.interrupted && answer.said == "CANCELLED";
        tasks_.erase(name);
        if (answer.error && !interrupted) {
            throw consul_locks::error(*answer.error);
        }
        return interrupted ? "interrupted" : answer.said;
    }

    // Reads the outcome of a child's block.
    void take_over(const std::string &output) {
        std::istringstream lines(output);
        for (std::string line; std::getline(lines, line);) {
            const std::string what = line.substr(0, line.find(' '));
            if (what == "ok") {
                return;
            }
            if (what == "as") {
                const std::size_t gap = line.find(' ', 3);
                variables_[line.substr(3, gap - 3)] = stored_[line.substr(3, gap - 3)] =
                    line.substr(gap + 1);
            } else if (what == "FAILED") {
                throw steps::failure{std::stoi(line.substr(12)), line.substr(line.find(':') + 2)};
            }
        }
        throw std::runtime_error("the child ended without a word: " + output);
    }

    void child(std::size_t at, const words &call) {
        words command = {"/proc/self/exe", file_.path(), "child",
                         std::to_string(file_.at(at).line)};
        for (const auto &[name, value] : variables_) {
            command.push_back(name + "=" + value);
        }
        children_.emplace(call[1], process::start(command, words(call.begin() + 2, call.end())));
    }

    void fork(std::size_t at, const std::string &name) {
        children_.emplace(name, process::fork([&](int out) {
                              auto say = [out](const std::string &line) {
                                  dprintf(out, "%s\n", line.c_str());
                              };
                              return run(at + 1, file_.end_of(at), say) ? 0 : 1;
                          }));
    }

    std::string ask_operator(const words &call) const {
        words command = {file_.path().substr(0, file_.path().rfind('/') + 1) + "operator"};
        command.insert(command.end(), call.begin() + 1, call.end());
        process::child asked = process::start(command, {});
        std::string output = asked.output(patience);
        output.erase(output.find_last_not_of('\n') + 1);
        return asked.succeeded() ? output : throw std::runtime_error(output);
    }

    static void expect(const std::string &left, const std::string &op, const std::string &right) {
        const bool is_so = op == "="    ? left == right
                           : op == "!=" ? left != right
                           : op == "<"  ? std::stoull(left) < std::stoull(right)
                           : op == ">"  ? std::stoull(left) > std::stoull(right)
                                        : throw std::runtime_error("no such comparison");
        if (!is_so) {
            throw std::runtime_error("not so: " + left + " " + op + " " + right);
        }
    }

    static void generator(const words &call) {
        if (call[1] == "value") {
            consul_locks::set_value_generator([made = call.at(2)] { return made; });
        } else if (call[1] == "raises") {
            consul_locks::set_value_generator([]() -> std::string { throw steps::own_error(); });
        } else if (call[1] == "nothing") {
            consul_locks::set_value_generator([] { return std::nullopt; });
        } else {
            consul_locks::set_value_generator(nullptr);
        }
    }

    // Never destroyed: the library may report a line while the process ends.
    static told<log_line> &log() {
        static auto *lines = new told<log_line>;
        return *lines;
    }
    static void collect(const std::string &level) {
        const std::map<std::string, consul_lock_log_level> levels = {
            {"error", CONSUL_LOCK_LOG_LEVEL_ERROR},
            {"warn", CONSUL_LOCK_LOG_LEVEL_WARN},
            {"info", CONSUL_LOCK_LOG_LEVEL_INFO},
            {"debug", CONSUL_LOCK_LOG_LEVEL_DEBUG}};
        consul_locks::on_log(levels.at(level), [](consul_lock_log_level of, std::string_view line) {
            log().tell({consul_locks::name(of), std::string(line)});
        });
    }

    std::string stats(const words &call) const {
        const consul_locks::client *with = client_in(call);
        const std::string json = with != nullptr ? with->stats() : consul_locks::stats();
        const std::string field = "\"" + call[1] + "\":";
        const std::size_t found = json.find(field);
        if (found == std::string::npos) {
            throw std::runtime_error("no such field in " + json);
        }
        return std::to_string(std::stoull(json.substr(found + field.size())));
    }

    words filled(const words &from) const {
        words out;
        for (const std::string &word : from) {
            out.push_back(steps::filled(word, [&](const std::string &name) {
                return name == "pid" ? std::to_string(::getpid()) : variables_.at(name);
            }));
        }
        return out;
    }

    const steps::file &file_;
    std::map<std::string, std::string> variables_, stored_;
    std::map<std::string, consul_locks::client> clients_;
    std::map<std::string, consul_locks::lock> locks_;
    std::map<std::string, consul_locks::lock *> held_; // the locks of blocks
    std::map<std::string, std::shared_ptr<told<std::string>>> notices_;
    std::map<std::string, std::shared_ptr<told<news>>> heard_; // by observers
    std::map<std::string, consul_locks::observer> observers_;
    std::map<std::string, process::child> children_;
    std::map<std::string, task> tasks_;
};

const std::map<std::string, scene::verb> &scene::verbs() {
    using std::size_t;
    constexpr size_t many = 99;
    // A verb that acts returns "ok", a verb that asks returns the answer.
    auto does = [](auto block) {
        return [block](scene &s, size_t at, const words &call) -> std::string {
            block(s, at, call);
            return "ok";
        };
    };
    auto on_lock = [does](auto block) {
        return does([block](scene &s, size_t, const words &call) { block(s.find(call[1]), call); });
    };
    auto asks = [](auto block) {
        return [block](scene &s, size_t, const words &call) -> std::string {
            return block(s.find(call[1]));
        };
    };
    auto uses = [](scene &s, size_t, const words &call) { return use(call, s.find(call[1]), {}); };
    using lock = consul_locks::lock;
    static const std::map<std::string, verb> table = {
        {"client", {1, many, does([](scene &s, size_t, const words &call) {
            s.clients_.insert_or_assign(call[1], consul_locks::client(s.options_in(call, 2)));
        })}},
        {"lock", {2, many, does([](scene &s, size_t, const words &call) {
            s.locks_.insert_or_assign(call[1], s.made(call));
        })}},
        {"acquire", {1, 1, uses}},
        {"try", {1, 1, uses}},
        {"release", {1, 1, uses}},
        {"cancel", {1, 1, on_lock([](lock &l, const words &) { l.cancel(); })}},
        {"renew", {1, 1, on_lock([](lock &l, const words &) { l.renew(); })}},
        {"check", {1, 1, on_lock([](lock &l, const words &) { l.check(); })}},
        {"downgrade", {1, 1, on_lock([](lock &l, const words &) { l.downgrade(); })}},
        {"upgrade", {2, 2, uses}},
        {"put", {3, 3, on_lock([](lock &l, const words &call) { l.put_if_held(call[2], call[3]); })}},
        {"delete", {2, 2, on_lock([](lock &l, const words &call) { l.delete_if_held(call[2]); })}},
        {"abandon", {1, 1, on_lock([](lock &l, const words &) { l.abandon(); })}},
        {"close", {1, 1, does([](scene &s, size_t, const words &call) { s.locks_.erase(call[1]); })}},
        {"held", {1, 1, asks([](lock &l) { return yes_or_no(l.is_held()); })}},
        {"remaining", {1, 1, asks([](lock &l) { return std::to_string(l.remaining().count()); })}},
        {"token", {1, 1, asks([](lock &l) { return std::to_string(l.fencing_token()); })}},
        {"session", {1, 1, asks([](lock &l) { return l.session_id(); })}},
        {"key", {1, 1, asks([](lock &l) { return l.key(); })}},
        {"keys", {1, 1, asks([](lock &l) { return spaced(l.keys()); })}},
        {"slot", {1, 1, asks([](lock &l) { return or_none(l.slot()); })}},
        {"watch", {1, 1, does([](scene &s, size_t, const words &call) { s.watch(call[1]); })}},
        {"lost", {1, 1, [](scene &s, size_t, const words &call) {
            return s.notices_.at(call[1])->wait([](const std::string &) { return true; });
        }}},
        {"hold", {2, many, [](scene &s, size_t at, const words &call) { return s.hold(at, call); }}},
        {"raise", {0, 0, does([](scene &, size_t, const words &) { throw steps::own_error(); })}},
        {"holder", {2, 3, [](scene &s, size_t, const words &call) {
            return field_or_free(consul_locks::holder(call[1], s.client_in(call)), call[2]);
        }}},
        {"holders", {3, 4, [](scene &s, size_t, const words &call) { return s.holders(call); }}},
        {"observe", {2, 3, does([](scene &s, size_t, const words &call) { s.observe(call); })}},
        {"observed", {2, 2, [](scene &s, size_t, const words &call) { return s.observed(call); }}},
        {"unobserve", {1, 1, does([](scene &s, size_t, const words &call) {
            s.heard_.at(call[1]); // throws where no observer had the name
            s.observers_.erase(call[1]);
        })}},
        {"begin", {3, 4, does([](scene &s, size_t, const words &call) { s.begin(call); })}},
        {"interrupt", {1, 1, does([](scene &s, size_t, const words &call) {
            task &begun = s.tasks_.at(call[1]);
            begun.interrupted = true;
            begun.stop.stop(s.find(begun.lock));
        })}},
        {"join", {1, 1, [](scene &s, size_t, const words &call) { return s.join(call[1]); }}},
        {"child", {1, many, does([](scene &s, size_t at, const words &call) { s.child(at, call); })}},
        {"fork", {1, 1, does([](scene &s, size_t at, const words &call) { s.fork(at, call[1]); })}},
        {"operator", {1, many, [](scene &s, size_t, const words &call) { return s.ask_operator(call); }}},
        {"sleep", {1, 1, does([](scene &, size_t, const words &call) {
            std::this_thread::sleep_for(milliseconds(call[1]));
        })}},
        {"expect", {3, 3, does([](scene &, size_t, const words &call) { expect(call[1], call[2], call[3]); })}},
        {"default", {2, 2, does([](scene &, size_t, const words &call) { consul_locks::set_default(call[1], call[2]); })}},
        {"default-client", {1, 1, does([](scene &s, size_t, const words &call) {
            if (call[1] == "none") {
                consul_locks::reset_default_client();
            } else {
                s.clients_.at(call[1]).make_default();
            }
        })}},
        {"generator", {1, 2, does([](scene &, size_t, const words &call) { generator(call); })}},
        {"log", {1, 1, does([](scene &, size_t, const words &call) { collect(call[1]); })}},
        {"logged", {1, 1, [](scene &, size_t, const words &call) {
            return log().wait([&](const log_line &l) { return steps::contains(l.line, call[1]); }).level;
        }}},
        {"stats", {1, 2, [](scene &s, size_t, const words &call) { return s.stats(call); }}},
        {"shutdown", {1, 1, does([](scene &, size_t, const words &call) {
            consul_locks::shutdown(milliseconds(call[1]));
        })}},
        {"version", {0, 0, [](scene &, size_t, const words &) { return std::string(consul_locks::version()); }}},
    };
    return table;
}

std::string of_environment(const char *name) {
    const char *value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::mutex output;

void run(const steps::file &file, const steps::scenario &scenario, const std::string &mark) {
    std::string verdict;
    if (std::count(scenario.without.begin(), scenario.without.end(), "cpp") > 0) {
        verdict = "without " + scenario.name;
    } else {
        scene scene(file, {{"key", "conformance/" + scenario.name + "-" + mark},
                           {"agent", of_environment("CONSUL_HTTP_ADDR")},
                           {"acl", of_environment("TEST_CONSUL_ACL_ADDR")},
                           {"dead", of_environment("TEST_CONSUL_DEAD_ADDR")}});
        auto say = [&](const std::string &line) {
            const std::size_t gap = std::min(line.find(' '), line.size());
            verdict =
                line.substr(0, gap) + " " + scenario.name + line.substr(gap); // the last one stays
        };
        scene.run(scenario.begin, scenario.end, say);
    }
    std::lock_guard<std::mutex> guard(output);
    std::cout << verdict << std::endl;
}

int run_child(const steps::file &file, int line, const words &variables) {
    std::map<std::string, std::string> known;
    for (const std::string &variable : variables) {
        const std::size_t sign = variable.find('=');
        known[variable.substr(0, sign)] = variable.substr(sign + 1);
    }
    const std::size_t block = file.on_line(line);
    scene scene(file, known);
    auto say = [](const std::string &word) { std::cout << word << std::endl; };
    return scene.run(block + 1, file.end_of(block), say) ? 0 : 1;
}

} // namespace

int main(int count, char **arguments) {
    if (count < 2) {
        std::cerr << "usage: " << arguments[0] << " scenarios.txt [NAME...]\n";
        return 2;
    }
    const steps::file file(arguments[1]);
    const words names(arguments + 2, arguments + count);
    if (names.size() > 1 && names[0] == "child") {
        return run_child(file, std::stoi(names[1]), words(names.begin() + 2, names.end()));
    }
    std::vector<const steps::scenario *> wanted;
    for (const steps::scenario &scenario : file.scenarios()) {
        if (names.empty() || std::count(names.begin(), names.end(), scenario.name) > 0) {
            wanted.push_back(&scenario);
        }
    }
    const std::string mark = std::to_string(std::random_device()());
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> threads;
    for (int n = 0; n < 8; n++) {
        threads.emplace_back([&] {
            for (std::size_t at; (at = next++) < wanted.size();) {
                run(file, *wanted[at], mark);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
}
