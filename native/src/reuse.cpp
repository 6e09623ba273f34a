#include "reuse.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "dims.hpp"
#include "text.hpp"

namespace onebit {

namespace {

constexpr std::int64_t max_kernels = 1 << 15, min_columns = 64, min_channels = 8, smallest = 4;
constexpr std::uint64_t max_low_bits = 15;
constexpr unsigned count_bits = 48, low_width = 16;

std::int64_t words_for(std::uint64_t bits) { return static_cast<std::int64_t>(bits / 64 + (bits % 64 != 0)); }

std::uint64_t word(const std::byte* data, std::uint64_t index) {
    std::uint64_t value = 0;
    std::memcpy(&value, data + index * sizeof value, sizeof value);
    return value;
}

// Up to 64 bits from bit `at` on, the first the lowest; reads no word that holds none of them.
std::uint64_t bits_at(const std::byte* data, std::uint64_t at, unsigned width) {
    if (width == 0) return 0;
    const auto shift = static_cast<unsigned>(at % 64);
    std::uint64_t value = word(data, at / 64) >> shift;
    if (shift + width > 64) value |= word(data, at / 64 + 1) << (64 - shift);
    return width == 64 ? value : value & ((std::uint64_t{1} << width) - 1);
}

void flip_word(std::byte* data, std::uint64_t index, std::uint64_t mask) {
    const std::uint64_t value = word(data, index) ^ mask;
    std::memcpy(data + index * sizeof value, &value, sizeof value);
}

void flip_bits(std::byte* data, std::uint64_t at, std::uint64_t mask, unsigned width) {
    const auto shift = static_cast<unsigned>(at % 64);
    flip_word(data, at / 64, mask << shift);
    if (shift + width > 64) flip_word(data, at / 64 + 1, mask >> (64 - shift));
}

// Every kernel after its parent. The root is its own parent, and there is one.
std::vector<std::uint32_t> walk(const std::vector<std::uint32_t>& parents) {
    enum class Seen : std::uint8_t { no, now, before };
    std::vector<Seen> seen(parents.size(), Seen::no);
    std::vector<std::uint32_t> order, path;
    order.reserve(parents.size());
    std::size_t roots = 0;
    for (std::uint32_t first = 0; first < parents.size(); ++first) {
        std::uint32_t at = first;
        for (; seen[at] == Seen::no; at = parents[at]) {
            seen[at] = Seen::now;
            path.push_back(at);
        }
        if (seen[at] == Seen::now) {  // the way ends in itself: at a root, or in a cycle
            if (parents[at] != at || ++roots > 1) fail("it is no tree: a kernel never reaches the one that is its own parent");
        }
        for (; !path.empty(); path.pop_back()) {
            seen[path.back()] = Seen::before;
            order.push_back(path.back());
        }
    }
    return order;
}

}  // namespace

std::size_t reuse_bytes(std::int64_t words, const Shape& shape) {
    const std::int64_t count = element_count(shape);
    if (shape.size() < 2 || shape[0] < 2 || shape[0] > max_kernels || shape.back() < min_channels || count / shape[0] < min_columns) {
        fail("it must be 2 to ", max_kernels, " kernels of at least ", min_columns, " entries and ", min_channels, " channels, got ",
             text(std::span<const std::int64_t>(shape)));
    }
    const std::int64_t plain = words_for(static_cast<std::uint64_t>(count));
    if (words < (plain + smallest - 1) / smallest || words > plain) {
        fail(count, " bits as a tree must be stored as ", (plain + smallest - 1) / smallest, " to ", plain, " words, got ", words);
    }
    return static_cast<std::size_t>(plain) * sizeof(std::uint64_t);
}

void unpack_reuse(std::span<const std::byte> stored, const Shape& shape, std::byte* out) {
    const auto total = static_cast<std::uint64_t>(element_count(shape));
    const auto rows = static_cast<std::uint64_t>(shape[0]);
    const std::uint64_t columns = total / rows, size = std::uint64_t{8} * stored.size();
    const std::byte* data = stored.data();
    const std::uint64_t count = bits_at(data, 0, count_bits), low = bits_at(data, count_bits, low_width);
    if (low > max_low_bits) fail("a gap has at most ", max_low_bits, " low bits, got ", low);
    const auto width = static_cast<unsigned>(std::bit_width(rows - 1));
    const std::uint64_t first = count_bits + low_width, gaps = first + rows * width, unary = gaps + count * low;
    if (unary + count > size) fail("it says it has ", count, " differences, more than ", size / 64, " words hold");

    std::vector<std::uint32_t> parents(rows);
    for (std::uint64_t row = 0; row < rows; ++row) {
        parents[row] = static_cast<std::uint32_t>(bits_at(data, first + row * width, width));
        if (parents[row] >= rows) fail("it names the parent ", parents[row], ", which is none of ", rows, " kernels");
    }
    const std::vector<std::uint32_t> order = walk(parents);

    std::uint64_t at = unary, next = 0;  // of the stream; the first place where the next difference may lie
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t begin = at;
        std::uint64_t rest = 0;
        for (; at < size; at = (at / 64 + 1) * 64) {
            rest = word(data, at / 64) >> (at % 64);
            if (rest != 0) break;
        }
        if (at >= size) fail("it says it has ", count, " differences, and has ", i);
        at += static_cast<std::uint64_t>(std::countr_zero(rest));
        const std::uint64_t place = next + ((at - begin) << low) + bits_at(data, gaps + i * low, static_cast<unsigned>(low));
        if (place >= total) fail("a difference lies beyond the last entry");
        flip_word(out, place / 64, std::uint64_t{1} << (place % 64));
        next = place + 1;
        ++at;
    }
    if (static_cast<std::int64_t>(size / 64) > std::max(words_for(at), (words_for(total) + smallest - 1) / smallest)) {
        fail("it has more words than it needs");
    }
    for (; at < size; at = (at / 64 + 1) * 64) {
        if (word(data, at / 64) >> (at % 64) != 0) fail("the unused bits of its last words must be 0");
    }
    for (const std::uint32_t row : order) {
        if (parents[row] == row) continue;
        for (std::uint64_t column = 0; column < columns; column += 64) {
            const auto some = static_cast<unsigned>(std::min<std::uint64_t>(64, columns - column));
            flip_bits(out, row * columns + column, bits_at(out, parents[row] * columns + column, some), some);
        }
    }
}

}  // namespace onebit
