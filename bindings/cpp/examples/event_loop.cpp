// Waits for a lock without a thread: the completion posts to the program's own event loop, here as
// small as one can be. With Asio it is `asio::post(context, ...)`, with Qt
// `QMetaObject::invokeMethod`.
#include <consul_lock.hpp>

#include <condition_variable>
#include <functional>
#include <iostream>
#include <mutex>
#include <queue>

class event_loop {
  public:
    void post(std::function<void()> work) {
        std::lock_guard<std::mutex> guard(mutex_);
        waiting_.push(std::move(work));
        changed_.notify_one();
    }
    void run_one() {
        std::unique_lock<std::mutex> guard(mutex_);
        changed_.wait(guard, [this] { return !waiting_.empty(); });
        std::function<void()> work = std::move(waiting_.front());
        waiting_.pop();
        guard.unlock();
        work();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::queue<std::function<void()>> waiting_;
};

int main() {
    using namespace std::chrono_literals;
    event_loop loop;
    bool over = false;
    consul_locks::options patient;
    patient.acquire_timeout(10s);
    consul_locks::lock lock("event-loop-example", patient);
    lock.acquire_start([&](const consul_locks::failure &why) { // a thread of the library
        loop.post([&, code = why.code()] {                     // the loop's own
            std::cout << consul_locks::name(code) << '\n';
            over = true;
        });
    });
    while (!over) {
        loop.run_one();
    }
}
