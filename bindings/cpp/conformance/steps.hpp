// The form of scenarios.txt: words, steps, blocks, and the expectation of a step.
#pragma once

#include <consul_lock.hpp>

#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace steps {

using words = std::vector<std::string>;

// The failure of a step, which ends its scenario.
struct failure {
    int line;
    std::string why;
};

// The exception of a block that says `raise`.
struct own_error {};

inline bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

inline words words_of(const std::string &line) {
    words found;
    for (std::size_t at = line.find_first_not_of(' '); at < line.size();
         at = line.find_first_not_of(' ', at)) {
        std::string word;
        if (line[at] == '"') {
            for (at++; at < line.size() && line[at] != '"'; at++) {
                char letter = line[at];
                if (letter == '\\') {
                    letter = line[++at];
                    letter = letter == 'n'   ? '\n'
                             : letter == 't' ? '\t'
                             : letter == '0' ? '\0'
                                             : letter;
                }
                word += letter;
            }
            at++;
        } else {
            std::size_t end = std::min(line.find(' ', at), line.size());
            word = line.substr(at, end - at);
            at = end;
        }
        found.push_back(word);
    }
    return found;
}

struct step {
    int line;
    words call;     // the verb and its arguments
    std::string as; // the variable for the answer
    words expectation;

    step(int number, const std::string &text) : line(number), call(words_of(text)) {
        auto arrow = std::find(call.begin(), call.end(), "->");
        if (arrow != call.end()) {
            expectation.assign(arrow + 1, call.end());
            call.erase(arrow, call.end());
        }
        if (call.size() > 2 && call[call.size() - 2] == "as") {
            as = call.back();
            call.resize(call.size() - 2);
        }
    }
    const std::string &verb() const { return call[0]; }
    bool begins_block() const { return verb() == "hold" || verb() == "child" || verb() == "fork"; }
};

struct scenario {
    std::string name;
    words without;
    std::size_t begin = 0, end = 0; // among the steps of the file
};

class file {
  public:
    explicit file(const std::string &path) : path_(path) {
        std::ifstream in(path);
        int number = 0;
        for (std::string line; std::getline(in, line);) {
            number++;
            line.erase(0, line.find_first_not_of(' '));
            std::string first = line.substr(0, line.find(' '));
            if (first == "scenario") {
                scenarios_.push_back({line.substr(9, line.find(':') - 9), {}, steps_.size(), 0});
            } else if (first == "without") {
                scenarios_.back().without = words_of(line.substr(8, line.find(':') - 8));
            } else if (!line.empty() && line[0] != '#' && line != "must-fail") {
                steps_.emplace_back(number, line);
                scenarios_.back().end = steps_.size();
            }
        }
        if (scenarios_.empty()) {
            throw std::runtime_error("no scenarios in " + path);
        }
    }
    const std::string &path() const { return path_; }
    const std::vector<scenario> &scenarios() const { return scenarios_; }
    const step &at(std::size_t number) const { return steps_.at(number); }

    // Finds the `end` of the block that begins at a step.
    std::size_t end_of(std::size_t block) const {
        std::size_t depth = 1;
        while (depth > 0) {
            block++;
            depth += at(block).begins_block() ? 1U : 0U;
            depth -= at(block).verb() == "end" ? 1U : 0U;
        }
        return block;
    }
    std::size_t on_line(int line) const {
        auto is_it = [line](const step &step) { return step.line == line; };
        return static_cast<std::size_t>(std::find_if(steps_.begin(), steps_.end(), is_it) -
                                        steps_.begin());
    }

  private:
    std::string path_;
    std::vector<step> steps_;
    std::vector<scenario> scenarios_;
};

// Replaces variables by their values.
template <class F> std::string filled(const std::string &word, F value_of) {
    std::string out;
    std::size_t at = 0;
    for (std::size_t open; (open = word.find('{', at)) != std::string::npos;) {
        std::size_t close = word.find('}', open);
        if (close == std::string::npos) {
            break;
        }
        out += word.substr(at, open - at) + value_of(word.substr(open + 1, close - open - 1));
        at = close + 1;
    }
    return out + word.substr(at);
}

// The answer of a step.
struct answer {
    std::string said;
    std::optional<consul_locks::error> error;

    bool failed() const { return error || said == "raised" || said == "interrupted"; }
    const char *message() const { return error ? error->what() : said.c_str(); }
};

template <class F> answer answer_of(F call) {
    try {
        return {call(), std::nullopt};
    } catch (const consul_locks::error &error) {
        return {consul_locks::name(error.code()), error};
    }
}

// Throws unless the answer is as expected.
inline void judge(const words &expectation, const answer &got, std::chrono::milliseconds took) {
    auto at = expectation.begin();
    auto argument = [&] {
        if (at == expectation.end()) {
            throw std::runtime_error("a clause lacks a word");
        }
        return *at++;
    };
    auto must = [&](bool is_so, const std::string &what) {
        if (!is_so) {
            throw std::runtime_error("wanted " + what + ", got " + got.said + ": " + got.message());
        }
    };
    auto between = [&](long long number) {
        long long least = std::stoll(argument()), most = std::stoll(argument());
        return least <= number && number <= most;
    };
    bool named = false;
    while (at != expectation.end()) {
        const std::string clause = *at++;
        if (clause == "says") {
            const std::string part = argument();
            must(contains(got.message(), part), "a text with \"" + part + "\"");
        } else if (clause == "hides") {
            const std::string part = argument();
            must(!contains(got.message(), part), "a text without \"" + part + "\"");
        } else if (clause == "between") {
            must(between(std::stoll(got.said)), "a number in the range");
        } else if (clause == "within") {
            must(between(took.count()),
                 "it in time, and not in " + std::to_string(took.count()) + " ms");
        } else if (clause == "http") {
            must(got.error && std::to_string(got.error->http_status()) == argument(),
                 "the HTTP status");
        } else if (clause == "retryable" || clause == "final") {
            must(got.error && got.error->retryable() == (clause == "retryable"), clause);
        } else if (at - 1 == expectation.begin()) {
            must(got.said == clause, clause);
            named = true;
        } else {
            throw std::runtime_error("unknown clause " + clause);
        }
    }
    must(named || !got.failed(), "no failure");
}

} // namespace steps
