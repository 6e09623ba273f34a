// A plain read: what memory gives when nothing else is done with it. Part of kernel.inc.hpp.

namespace {

// The sum of `count` words.
std::uint32_t read_words(const std::uint32_t* words, std::int64_t count) {
    U sums[8] = {};
    std::int64_t i = 0;
    for (; i + 8 * lanes <= count; i += 8 * lanes)
#pragma GCC unroll 8
        for (int v = 0; v < 8; ++v) sums[v] += load(words + i + v * lanes);
    std::uint32_t sum = 0;
    for (; i < count; ++i) sum += words[i];
    for (int v = 0; v < 8; ++v)
        for (int l = 0; l < lanes; ++l) sum += sums[v][l];
    return sum;
}

}  // namespace
