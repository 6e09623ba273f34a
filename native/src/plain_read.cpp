#include "plain_read.hpp"

#include <algorithm>
#include <atomic>

namespace onebit {

std::uint32_t PlainRead::sum(const std::uint32_t* words, std::int64_t count) {
    constexpr std::int64_t block = 1 << 14;  // 64 KiB
    std::atomic<std::uint32_t> total{0};
    threads_.divide((count + block - 1) / block, count, [&](std::int64_t begin, std::int64_t end) {
        total += isa_.table->read_words(words + begin * block, std::min(end * block, count) - begin * block);
    });
    return total;
}

}  // namespace onebit
