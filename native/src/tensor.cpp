#include "tensor.hpp"

#include <algorithm>

namespace onebit {

void unpack_bits(const std::uint32_t* words, std::int8_t* out, std::int64_t rows, std::int64_t channels) {
    for (std::int64_t r = 0; r < rows; ++r, words += words_of(channels))
        for (std::int64_t c = 0; c < channels; ++c) *out++ = words[c / 32] >> (c % 32) & 1 ? 1 : -1;
}

void pack_bits(const std::int8_t* in, std::uint32_t* words, std::int64_t rows, std::int64_t channels) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t start = 0; start < channels; start += 32) {
            const std::int64_t n = std::min<std::int64_t>(32, channels - start);
            std::uint32_t word = 0;
            for (std::int64_t i = 0; i < n; ++i) word |= static_cast<std::uint32_t>(*in++ > 0) << i;
            *words++ = word;
        }
}

}  // namespace onebit
