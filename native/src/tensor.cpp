#include "tensor.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace onebit {

namespace {

// The 8 bytes of -1 and +1 that 8 bits stand for.
constexpr auto bytes_of_bits = [] {
    std::array<std::array<std::int8_t, 8>, 256> table{};
    for (int bits = 0; bits < 256; ++bits)
        for (int i = 0; i < 8; ++i) table[bits][i] = bits >> i & 1 ? 1 : -1;
    return table;
}();

std::uint32_t pack_some(const std::int8_t* in, std::int64_t n) {
    std::uint32_t word = 0;
    for (std::int64_t i = 0; i < n; ++i) word |= static_cast<std::uint32_t>(in[i] > 0) << i;
    return word;
}

std::uint32_t pack_word(const std::int8_t* in) {
#ifdef __SSE2__
    const auto half = [in](int at) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + at));
        return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpgt_epi8(bytes, _mm_setzero_si128())));
    };
    return half(0) | half(16) << 16;
#else
    return pack_some(in, 32);
#endif
}

}  // namespace

constexpr std::array<std::array<std::int8_t, trits_of_byte>, 256> trit_table = [] {
    std::array<std::array<std::int8_t, trits_of_byte>, 256> table{};
    for (int byte = 0; byte < trit_bytes; ++byte)
        for (int i = 0, rest = byte; i < trits_of_byte; ++i, rest /= 3)
            table[static_cast<std::size_t>(byte)][static_cast<std::size_t>(i)] = static_cast<std::int8_t>(rest % 3 - 1);
    return table;
}();

void unpack_trits(const Constant& constant, std::int8_t* out) {
    const std::int64_t count = element_count(constant.shape);
    for (std::int64_t i = 0; i < count; i += trits_of_byte)
        std::memcpy(out + i, trit_table[static_cast<std::size_t>(constant.data[i / trits_of_byte])].data(),
                    static_cast<std::size_t>(std::min<std::int64_t>(trits_of_byte, count - i)));
}

Buffer allocate_streamed(std::size_t bytes) {
    if (bytes < huge_page) return allocate(bytes);
    void* p = std::aligned_alloc(huge_page, streamed_bytes(bytes));
    if (p == nullptr) throw std::bad_alloc();
#ifdef __linux__
    madvise(p, streamed_bytes(bytes), MADV_HUGEPAGE);  // a wish: it may fail
#endif
    return Buffer(static_cast<std::byte*>(p));
}

// Rows without a column take no time, however many of them a shape says there are.
void unpack_bits(const std::uint32_t* words, std::int8_t* out, std::int64_t rows, std::int64_t channels) {
    if (channels == 0) return;
    for (std::int64_t r = 0; r < rows; ++r, words += words_of(channels)) {
        std::int64_t c = 0;
        for (; c + 8 <= channels; c += 8, out += 8) std::memcpy(out, bytes_of_bits[words[c / 32] >> (c % 32) & 255].data(), 8);
        for (; c < channels; ++c) *out++ = words[c / 32] >> (c % 32) & 1 ? 1 : -1;
    }
}

void pack_bits(const std::int8_t* in, std::uint32_t* words, std::int64_t rows, std::int64_t channels) {
    if (channels == 0) return;
    for (std::int64_t r = 0; r < rows; ++r) {
        std::int64_t left = channels;
        for (; left >= 32; left -= 32, in += 32) *words++ = pack_word(in);
        if (left > 0) *words++ = pack_some(in, left);
        in += left;
    }
}

}  // namespace onebit
