// A tensor as the engine holds it while it runs. Bits are packed row by row: every row of the last axis starts at a 32-bit word,
// a set bit is +1, and the bits after the last element are 0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "dims.hpp"
#include "graph.hpp"

namespace onebit {

constexpr std::size_t alignment = 64;

struct Free {
    void operator()(std::byte* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<std::byte[], Free>;

inline std::size_t round_up(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

inline Buffer allocate(std::size_t bytes) {
    void* p = std::aligned_alloc(alignment, round_up(bytes == 0 ? 1 : bytes));
    if (p == nullptr) throw std::bad_alloc();
    return Buffer(static_cast<std::byte*>(p));
}

// For what is read from end to end in every run: on huge pages where the system has them, with which memory gives up to twice as
// much. streamed_bytes(bytes) is what it takes.
constexpr std::size_t huge_page = std::size_t{1} << 21;
inline std::size_t streamed_bytes(std::size_t bytes) { return bytes < huge_page ? bytes : (bytes + huge_page - 1) / huge_page * huge_page; }
Buffer allocate_streamed(std::size_t bytes);

inline std::int64_t channels_of(const Shape& shape) { return shape.empty() ? 1 : shape.back(); }
inline std::int64_t words_of(std::int64_t channels) { return (channels + 31) / 32; }

// Product of all axes but the last.
inline std::int64_t rows_of(const Shape& shape) {
    return shape.empty() ? 1 : element_count(std::span(shape).first(shape.size() - 1));
}

inline std::size_t storage_bytes(DType dtype, const Shape& shape) {
    if (dtype == DType::bit)
        return static_cast<std::size_t>(multiply(multiply(rows_of(shape), words_of(channels_of(shape))), 4));
    return static_cast<std::size_t>(multiply(element_count(shape), static_cast<std::int64_t>(element_bytes(dtype))));
}

// -1 and +1 as int8, and back (anything above 0 is +1).
void unpack_bits(const std::uint32_t* words, std::int8_t* out, std::int64_t rows, std::int64_t channels);
void pack_bits(const std::int8_t* in, std::uint32_t* words, std::int64_t rows, std::int64_t channels);

// Element i of a constant whose bits are packed as in the file.
inline bool constant_bit(const Constant& constant, std::int64_t i) {
    const auto* words = reinterpret_cast<const std::uint64_t*>(constant.data);
    return words[i / 64] >> (i % 64) & 1;
}

// The five numbers of every byte of a ternary constant; 0 for the bytes that the loader refuses.
extern const std::array<std::array<std::int8_t, trits_of_byte>, 256> trit_table;

// Element i of a ternary constant.
inline std::int8_t constant_trit(const Constant& constant, std::int64_t i) {
    const auto byte = static_cast<std::size_t>(constant.data[i / trits_of_byte]);
    return trit_table[byte][static_cast<std::size_t>(i % trits_of_byte)];
}

// All elements of a ternary constant as int8.
void unpack_trits(const Constant& constant, std::int8_t* out);

// A tensor where a generic kind meets it: bits are int8 there.
struct View {
    DType dtype = DType::f32;
    const Shape* shape = nullptr;
    std::byte* data = nullptr;

    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data);
    }
};

}  // namespace onebit
