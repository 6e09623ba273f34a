// A fixed set of threads that divide a range evenly, each always the same part.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace onebit {

class Threads {
public:
    static constexpr std::int64_t default_grain = 1 << 14;

    // `grain`: less work than this many elementary operations is not worth waking anybody for.
    // std::system_error when the system does not give that many threads.
    explicit Threads(int count, std::int64_t grain = default_grain);
    ~Threads();

    // One set of that many for all who ask; it goes with the last of them. Whoever finds it at work does its own work alone.
    static std::shared_ptr<Threads> shared(int count);

    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

    int count() const { return static_cast<int>(workers_.size()) + 1; }

    // body(begin, end) on disjoint parts of 0..items, at once; the caller does one of them. The body must not throw.
    // `work` is the number of elementary operations in all of it.
    template <class Body>
    void divide(std::int64_t items, std::int64_t work, const Body& body) {
        if (workers_.empty() || items < 2 || work < grain_ || is_copy()) {
            body(std::int64_t{0}, items);
            return;
        }
        run(items, [](const void* self, std::int64_t begin, std::int64_t end) { (*static_cast<const Body*>(self))(begin, end); },
            &body);
    }

private:
    using Call = void (*)(const void*, std::int64_t, std::int64_t);

    bool is_copy() const;  // in a process that was forked, which the workers did not follow into
    void stop();
    void run(std::int64_t items, Call call, const void* body);
    void part(int index) const;
    void work(int index);

    std::int64_t grain_;
    const int process_;
    std::mutex busy_;
    std::vector<std::thread> workers_;
    std::atomic<std::uint32_t> round_{0};
    std::atomic<int> pending_{0};
    std::atomic<bool> stop_{false};
    std::int64_t items_ = 0;
    Call call_ = nullptr;
    const void* body_ = nullptr;
};

}  // namespace onebit
