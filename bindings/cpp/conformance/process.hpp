// Child processes, by a new program and by fork, whose output is read.
#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace process {

class child {
  public:
    child(pid_t pid, int output) : pid_(pid), output_(output) {}
    child(child &&other) noexcept
        : pid_(std::exchange(other.pid_, -1)), output_(std::exchange(other.output_, -1)) {}
    child &operator=(child &&) = delete;
    // Ends a child that still runs.
    ~child() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            wait();
        }
    }

    // Returns all that the child wrote, which must end in time.
    std::string output(std::chrono::milliseconds patience) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        std::string all;
        for (char buffer[4096];;) {
            auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                deadline - std::chrono::steady_clock::now());
            pollfd readable = {output_, POLLIN, 0};
            if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) == 0) {
                throw std::runtime_error("a child does not end");
            }
            ssize_t count = ::read(output_, buffer, sizeof buffer);
            if (count < 0 && errno != EINTR) {
                throw std::runtime_error("a child cannot be read");
            }
            if (count == 0) {
                wait();
                return all;
            }
            all.append(buffer, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        }
    }
    bool succeeded() const { return WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }

  private:
    void wait() {
        while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
        }
        ::close(output_);
        pid_ = -1;
    }
    pid_t pid_;
    int output_;
    int status_ = 0;
};

// Runs `block` in a forked process, with the descriptor to write to. The process ends with the
// value that the block returns.
inline child fork(const std::function<int(int)> &block) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw std::runtime_error("no pipe");
    }
    pid_t pid = ::fork();
    if (pid < 0) {
        throw std::runtime_error("no process");
    }
    if (pid == 0) {
        ::close(ends[0]);
        ::_exit(block(ends[1]));
    }
    ::close(ends[1]);
    return child(pid, ends[0]);
}

// Starts a program, with more environment variables (NAME=VALUE).
inline child start(std::vector<std::string> command, std::vector<std::string> variables) {
    // Between fork and exec nothing may allocate: other threads may have been in malloc.
    std::vector<char *> arguments, environment;
    for (std::string &word : command) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    for (std::string &variable : variables) {
        environment.push_back(variable.data());
    }
    for (char **variable = environ; *variable != nullptr; variable++) {
        environment.push_back(*variable); // the first of a name counts
    }
    environment.push_back(nullptr);
    return fork([&](int out) {
        ::dup2(out, STDOUT_FILENO);
        ::dup2(out, STDERR_FILENO);
        ::execve(arguments[0], arguments.data(), environment.data());
        return 127;
    });
}

} // namespace process
