// Products of int8 rows with weights of one or two bits, for few rows: a matrix is read once, packed, and decoded in registers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onebit::kernel {

struct Program;

// A word of weights holds, for one output channel, 4 bytes of `planes` codes of `width` bits: 4 ternary (code = weight + 1) or 8
// binary ones (code = 1 for +1). Code p of byte b belongs to input 4 * (planes * word + p) + b, so that plane p of a word meets one
// 32-bit word of the input.
struct LowbitJob {
    const std::uint32_t* weights = nullptr;  // [tile][word][lane]; the last tile may be half or a quarter
    const std::byte* input = nullptr;        // rows of int8, padded with 0 to whole words of weights
    const std::int32_t* sums = nullptr;      // [row] of the input, padding and all
    const std::int32_t* bases = nullptr;     // [channel] added to the result, readable to a whole tile; null: 0
    bool ternary = false;
    std::int64_t words = 0;
    std::int64_t channels = 0;
    std::int64_t rows = 0;
    const Program* program = nullptr;
};

}  // namespace onebit::kernel
