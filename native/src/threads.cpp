#include "threads.hpp"

#include <unistd.h>

#include <map>
#include <string>
#include <system_error>

#include "environment.hpp"

namespace onebit {

namespace {

// Operations of a run follow each other within microseconds, and to sleep and be woken takes longer than most of them: who waits
// looks again and again first, for some tens of microseconds.
constexpr int looks = 2000;

inline void breathe() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <class Done>
bool look(const Done& done) {
    for (int i = 0; i < looks; ++i) {
        if (done()) return true;
        breathe();
    }
    return false;
}

}  // namespace

Threads::Threads(int count, std::int64_t grain) : grain_(grain), process_(getpid()) {
    workers_.reserve(static_cast<std::size_t>(count - 1));
    try {
        for (int i = 1; i < count; ++i) workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error& error) {
        const std::size_t started = workers_.size();
        stop();  // a thread that still runs when its std::thread goes ends the process
        throw std::system_error(error.code(), "the system gives " + std::to_string(started + 1) + " of " + std::to_string(count) + " threads");
    } catch (...) {
        stop();
        throw;
    }
}

Threads::~Threads() { stop(); }

std::shared_ptr<Threads> Threads::shared(int count) {
    static std::mutex mutex;
    static std::map<int, std::weak_ptr<Threads>> sets;
    const std::lock_guard lock(mutex);
    std::weak_ptr<Threads>& set = sets[count];
    std::shared_ptr<Threads> found = set.lock();
    if (!found) set = found = std::make_shared<Threads>(count);
    return found;
}

bool Threads::is_copy() const { return getpid() != process_; }

void Threads::stop() {
    if (is_copy()) {
        for (std::thread& worker : workers_) worker.detach();
        workers_.clear();
        return;
    }
    stop_ = true;
    ++round_;
    round_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
}

void Threads::part(int index) const {
    const std::int64_t n = count();
    const std::int64_t begin = items_ / n * index + items_ % n * index / n;
    const std::int64_t end = items_ / n * (index + 1) + items_ % n * (index + 1) / n;
    if (begin < end) call_(body_, begin, end);
}

void Threads::run(std::int64_t items, Call call, const void* body) {
    const std::unique_lock alone(busy_, std::try_to_lock);
    if (!alone.owns_lock()) {
        call(body, 0, items);
        return;
    }
    items_ = items;
    call_ = call;
    body_ = body;
    pending_ = static_cast<int>(workers_.size());
    ++round_;
    round_.notify_all();
    part(0);
    if (look([this] { return pending_ == 0; })) return;
    for (int left = pending_; left != 0; left = pending_) pending_.wait(left);
}

void Threads::work(int index) {
    const FloatEnvironment environment;
    std::uint32_t seen = 0;
    for (;;) {
        if (!look([&] { return round_ != seen; })) round_.wait(seen);
        ++seen;
        if (stop_) return;
        part(index);
        if (--pending_ == 0) pending_.notify_one();
    }
}

}  // namespace onebit
