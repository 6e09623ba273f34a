#include "weights.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace onebit {

using kernel::Arithmetic;

namespace {

// Channels that one word holds.
std::int64_t in_a_word(Arithmetic arithmetic) {
    switch (arithmetic) {
        case Arithmetic::bits: return 32;
        case Arithmetic::bytes: return 4;
        case Arithmetic::pairs: return 2;
        default: return 1;
    }
}

// Lanes of the tile that starts with `left` output channels to go: the kernel has whole, half and quarter tiles.
std::int64_t tile_lanes(std::int64_t left, const kernel::Table& table) {
    const std::int64_t width = std::int64_t{table.lanes} * table.vectors;
    if (left <= width / 4) return width / 4;
    return left <= width / 2 ? width / 2 : width;
}

std::uint32_t byte(int value) { return static_cast<std::uint8_t>(static_cast<std::int8_t>(value)); }
std::uint32_t half(int value) { return static_cast<std::uint16_t>(static_cast<std::int16_t>(value)); }

// Word `word` of one tap of one output channel, `first` being the number of the tap's first element in the constant.
std::uint32_t word_of(const Constant& weight, Arithmetic arithmetic, std::int64_t first, std::int64_t inputs, std::int64_t word) {
    const auto integer = [&](std::int64_t i) {
        if (i >= inputs) return 0;
        if (weight.dtype == DType::bit) return constant_bit(weight, first + i) ? 1 : -1;
        if (weight.dtype == DType::ternary) return static_cast<int>(constant_trit(weight, first + i));
        return static_cast<int>(reinterpret_cast<const std::int8_t*>(weight.data)[first + i]);
    };
    switch (arithmetic) {
        case Arithmetic::bits: {
            const auto* words = reinterpret_cast<const std::uint64_t*>(weight.data);
            const std::int64_t at = first + word * 32, n = std::min<std::int64_t>(32, inputs - word * 32), offset = at % 64;
            std::uint64_t bits = words[at / 64] >> offset;
            if (offset + n > 64) bits |= words[at / 64 + 1] << (64 - offset);
            return static_cast<std::uint32_t>(n == 32 ? bits : bits & ((1u << n) - 1));
        }
        case Arithmetic::bytes: {
            std::uint32_t bytes = 0;
            for (int i = 0; i < 4; ++i) bytes |= byte(integer(4 * word + i)) << (8 * i);
            return bytes;
        }
        case Arithmetic::pairs: return half(integer(2 * word)) | half(integer(2 * word + 1)) << 16;
        default: break;
    }
    if (weight.dtype == DType::ternary) return std::bit_cast<std::uint32_t>(static_cast<float>(constant_trit(weight, first + word)));
    if (weight.dtype == DType::bit) return std::bit_cast<std::uint32_t>(constant_bit(weight, first + word) ? 1.0f : -1.0f);
    return reinterpret_cast<const std::uint32_t*>(weight.data)[first + word];
}

}  // namespace

Weights::Weights(const Constant& weight, DType x, const Node& node, const kernel::Table& table)
    : groups(node.kind == "conv" ? node.integer("groups") : 1), constant_(weight), table_(table) {
    arithmetic = x == DType::f32 ? Arithmetic::floats : x == DType::bit && weight.dtype == DType::bit ? Arithmetic::bits : table.integers;
    outputs = weight.shape[0] / groups;
    inputs = weight.shape.back();
    taps = weight.shape.size() == 2 ? 1 : weight.shape[1] * weight.shape[2];
    words = (inputs + in_a_word(arithmetic) - 1) / in_a_word(arithmetic);
    if (arithmetic == Arithmetic::bytes && taps > 1 && groups == 1 && inputs % 4 != 0 && node.integers("dilation")[1] == 1) {
        whole_rows = true;
        taps = weight.shape[1];
        inputs = multiply(weight.shape[2], inputs);
        words = (inputs + 3) / 4;
    }
    const std::int64_t width = std::int64_t{table.lanes} * table.vectors;
    const std::int64_t last = outputs % width;
    group_words = multiply(multiply(outputs - last + (last ? tile_lanes(last, table) : 0), taps), words);
}

std::int64_t Weights::totals_of_output() const {
    return arithmetic == Arithmetic::bits ? taps : arithmetic == Arithmetic::bytes ? 1 : 0;
}

std::size_t Weights::bytes() const {
    return static_cast<std::size_t>(multiply(add(multiply(group_words, groups), multiply(multiply(groups, outputs), totals_of_output())), 4));
}

void Weights::pack() {
    if (packed) return;
    const std::int64_t width = std::int64_t{table_.lanes} * table_.vectors;
    packed = allocate(static_cast<std::size_t>(group_words * groups * 4));
    auto* at = reinterpret_cast<std::uint32_t*>(packed.get());
    totals.assign(static_cast<std::size_t>(groups * outputs * totals_of_output()), 0);
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
                        if (arithmetic == Arithmetic::bits)
                            totals[static_cast<std::size_t>(output * taps + tap)] += std::popcount(*at);
                        if (arithmetic == Arithmetic::bytes)
                            for (int i = 0; i < 4; ++i) totals[static_cast<std::size_t>(output)] += static_cast<std::int8_t>(*at >> (8 * i));
                    }
        }
}

}  // namespace onebit
