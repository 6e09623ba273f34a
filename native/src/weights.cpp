#include "weights.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace onebit {

using kernel::Arithmetic;

Arithmetic arithmetic_of(DType x, DType weight) {
    if (x == DType::f32) return Arithmetic::floats;
    return x == DType::bit && weight == DType::bit ? Arithmetic::bits : Arithmetic::pairs;
}

namespace {

// Lanes of the tile that starts with `left` output channels to go: the kernel has whole, half and quarter tiles.
std::int64_t tile_lanes(std::int64_t left, const kernel::Table& table) {
    const std::int64_t width = std::int64_t{table.lanes} * table.vectors;
    if (left <= width / 4) return width / 4;
    return left <= width / 2 ? width / 2 : width;
}

std::uint32_t half(int value) { return static_cast<std::uint16_t>(static_cast<std::int16_t>(value)); }

// Word `word` of one tap of one output channel, `first` being the number of the tap's first element in the constant.
std::uint32_t word_of(const Constant& weight, Arithmetic arithmetic, std::int64_t first, std::int64_t inputs, std::int64_t word) {
    const auto integer = [&](std::int64_t i) {
        if (i >= inputs) return 0;
        if (weight.dtype == DType::bit) return constant_bit(weight, first + i) ? 1 : -1;
        return static_cast<int>(reinterpret_cast<const std::int8_t*>(weight.data)[first + i]);
    };
    switch (arithmetic) {
        case Arithmetic::bits: {
            std::uint32_t bits = 0;
            const std::int64_t n = std::min<std::int64_t>(32, inputs - word * 32);
            for (std::int64_t i = 0; i < n; ++i)
                bits |= static_cast<std::uint32_t>(constant_bit(weight, first + word * 32 + i)) << i;
            return bits;
        }
        case Arithmetic::pairs: return half(integer(2 * word)) | half(integer(2 * word + 1)) << 16;
        default: break;
    }
    if (weight.dtype == DType::bit) return std::bit_cast<std::uint32_t>(constant_bit(weight, first + word) ? 1.0f : -1.0f);
    return reinterpret_cast<const std::uint32_t*>(weight.data)[first + word];
}

}  // namespace

Weights::Weights(const Constant& weight, DType x, std::int64_t group_count, const kernel::Table& table)
    : arithmetic(arithmetic_of(x, weight.dtype)), groups(group_count), constant_(weight), table_(table) {
    outputs = weight.shape[0] / groups;
    inputs = weight.shape.back();
    taps = weight.shape.size() == 2 ? 1 : weight.shape[1] * weight.shape[2];
    words = arithmetic == Arithmetic::bits ? words_of(inputs) : arithmetic == Arithmetic::pairs ? (inputs + 1) / 2 : inputs;

    const std::int64_t width = std::int64_t{table.lanes} * table.vectors;
    const std::int64_t last = outputs % width;
    group_words = multiply(multiply(outputs - last + (last ? tile_lanes(last, table) : 0), taps), words);
}

std::size_t Weights::bytes() const {
    const std::int64_t counts = arithmetic == Arithmetic::bits ? multiply(multiply(groups, outputs), taps) : 0;
    return static_cast<std::size_t>(multiply(add(multiply(group_words, groups), counts), 4));
}

void Weights::pack() {
    if (packed) return;
    const std::int64_t width = std::int64_t{table_.lanes} * table_.vectors;
    packed = allocate(static_cast<std::size_t>(group_words * groups * 4));
    auto* at = reinterpret_cast<std::uint32_t*>(packed.get());
    if (arithmetic == Arithmetic::bits) ones.assign(static_cast<std::size_t>(groups * outputs * taps), 0);
    for (std::int64_t group = 0; group < groups; ++group)
        for (std::int64_t channel = 0; channel < outputs; channel += width) {
            const std::int64_t lanes = tile_lanes(outputs - channel, table_);
            for (std::int64_t tap = 0; tap < taps; ++tap)
                for (std::int64_t word = 0; word < words; ++word)
                    for (std::int64_t lane = 0; lane < lanes; ++lane, ++at) {
                        *at = 0;
                        if (channel + lane >= outputs) continue;
                        const std::int64_t output = group * outputs + channel + lane;
                        *at = word_of(constant_, arithmetic, (output * taps + tap) * inputs, inputs, word);
                        if (arithmetic == Arithmetic::bits) ones[static_cast<std::size_t>(output * taps + tap)] += std::popcount(*at);
                    }
        }
}

}  // namespace onebit
