// What the engine hands to a micro-kernel and what a micro-kernel offers: plain structs and function pointers, no code.
// Every instruction set compiles kernel.inc.hpp once, in a translation unit of its own, and fills one Table.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../platform.hpp"

namespace onebit::kernel {

// How one 32-bit word of the input meets one 32-bit lane of weights.
enum class Arithmetic : std::uint8_t {
    bits,    // 32 channels of +-1: xor, popcount, add
    bytes,   // four channels, uint8 times int8: multiply, add all, add
    pairs,   // two int16 channels: multiply, add both, add
    floats,  // one float32 channel: multiply, then add
};

// Bytes of the unit in which offsets count.
[[maybe_unused]] static constexpr std::int64_t unit_of(Arithmetic arithmetic) { return arithmetic == Arithmetic::bytes ? 1 : 4; }

// A step of a pointwise program. Those up to `square_root` change the current value, the rest store something made of it.
enum class Op : std::uint8_t {
    load,  // the current value becomes a tensor (Step::type)
    to_float,
    affine,
    add,
    subtract,
    multiply,
    divide,
    maximum,
    minimum,
    relu,
    clip,
    prelu,
    negate,
    absolute,
    square_root,
    store,
    sign,
    threshold,
    quantize,
};

enum class Operand : std::uint8_t { none, tensor, channels, scalar };

enum class Element : std::uint8_t { float32, int32, int8, uint8, bit };

struct Step {
    Op op = Op::store;
    Operand operand = Operand::none;
    Element element = Element::float32;  // of the tensor loaded or stored
    bool integer = false;                // the current value is int32
    bool reversed = false;               // operand on the left
    const void* first = nullptr;         // operand, scale, slope, limit
    const void* second = nullptr;        // shift, mask of the sense
    void* out = nullptr;
    float low = 0;
    float high = 0;
    std::int32_t zero_point = 0;
};

// Per-channel vectors are readable up to a multiple of 64 channels.
struct Program {
    const Step* steps = nullptr;
    int count = 0;
    std::int64_t channels = 0;  // of every tensor that the steps touch
};

// Distances in the input are in bytes.
struct Job {
    const std::uint32_t* weights = nullptr;  // [group][tile][tap][word][lane]
    std::int64_t group_weights = 0;          // words from one group to the next
    const std::byte* input = nullptr;
    std::int64_t image_bytes = 0;
    std::int32_t row_bytes = 0;               // from one pixel to the next
    const std::byte* padding = nullptr;       // one row
    const std::int32_t* offsets = nullptr;    // [pixel][tap] in units, negative: padding; null: one tap, pixel after pixel
    const std::int32_t* classes = nullptr;    // [pixel] of the border (bits); null: all 0
    const std::int32_t* bases = nullptr;      // [class][group][channel]: bits: what 2 * popcount is taken from; bytes: added
    const std::int32_t* limits = nullptr;     // [class][group][channel]: the most differing bits that pass a leading threshold,
    const std::uint32_t* flips = nullptr;     // [group][channel / 32]: where its sense is the other one (bits; null: none leads)
    std::int64_t class_stride = 0;
    std::int64_t group_stride = 0;            // of bases and limits
    std::int32_t taps = 1;
    std::int32_t words = 0;        // of one tap of one group
    std::int32_t group_bytes = 0;  // from one group to the next in a row of the input
    std::int32_t groups = 1;
    std::int64_t group_channels = 0;  // of the output
    std::int64_t images = 0;
    std::int64_t pixels = 0;
    Program program;
};

// A convolution of every channel by itself.
struct Depthwise {
    const std::byte* input = nullptr;
    const std::byte* weights = nullptr;       // [tap][channel], float32 or int32, rows of row_weights
    const std::byte* padding = nullptr;       // one row
    const std::int32_t* offsets = nullptr;    // [pixel][tap] in elements, negative: padding
    Element element = Element::float32;       // of the input: float32, int8, uint8
    std::int64_t row_weights, channels, images, pixels, taps, image_elements;
    Program program;
};

// Windows over float32 images (N, height, width, channels).
struct Pool {
    const float* in = nullptr;
    float* out = nullptr;
    std::int64_t height, width, channels, out_height, out_width;
    std::int64_t kernel_h, kernel_w, stride_h, stride_w, top, left, dilation_h, dilation_w;
    bool maximum = false;    // or the mean
    bool count_all = false;  // the mean divides by all taps, not by those inside
};

struct LowbitJob;

struct Table {
    int lanes;    // 32-bit lanes of a vector
    int vectors;  // of a tile, a power of two >= 4; the last tile may be half or a quarter
    Arithmetic integers;  // what multiplies int8: bytes or pairs
    std::int64_t (*items)(const Job&, Arithmetic);
    void (*run)(const Job&, Arithmetic, std::int64_t begin, std::int64_t end);
    std::int64_t (*pointwise_items)(const Program&, std::int64_t rows);
    void (*pointwise)(const Program&, std::int64_t rows, std::int64_t begin, std::int64_t end);
    void (*pool)(const Pool&, std::int64_t begin, std::int64_t end);  // lines of the output
    std::int64_t (*depthwise_items)(const Depthwise&);
    void (*depthwise)(const Depthwise&, std::int64_t begin, std::int64_t end);
    void (*lowbit)(const LowbitJob&, std::int64_t begin, std::int64_t end);  // of its tiles of output channels
    std::uint32_t (*read_words)(const std::uint32_t* words, std::int64_t count);
};

extern const Table portable;
extern const Table neon;
extern const Table avx2;
extern const Table avx512bw;
extern const Table avx512vpopcnt;

}  // namespace onebit::kernel
