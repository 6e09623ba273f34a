#include "lowbit.hpp"

#include <algorithm>
#include <cstring>

namespace onebit {

namespace {

// For more rows unpacked weights are as fast, decoded once and for all; where vectors have 16 bytes, and no product of bytes, for two.
constexpr std::int64_t most_rows(const kernel::Table& table) { return table.lanes > 4 ? 32 : 1; }
constexpr std::int64_t most_inputs = 1 << 18;   // the kernel's sums of 128 x 128 stay in int32
constexpr std::uint8_t sign_bit = 0x80;         // uint8 x as int8: x - 128

}  // namespace

LowbitWeights::LowbitWeights(const Constant& weight, const kernel::Table& table)
    : ternary(weight.dtype == DType::ternary), outputs(weight.shape[0]), inputs(weight.shape[1]), constant_(weight),
      tile_(std::int64_t{table.lanes} * table.vectors) {
    words = (inputs + inputs_of_word() - 1) / inputs_of_word();
}

// Lanes of the tile that begins at `channel`: whole, half or a quarter.
std::int64_t LowbitWeights::lanes_behind(std::int64_t channel) const {
    const std::int64_t left = outputs - channel;
    if (left <= tile_ / 4) return tile_ / 4;
    return left <= tile_ / 2 ? tile_ / 2 : tile_;
}

std::int64_t LowbitWeights::packed_words() const {
    const std::int64_t last = (outputs - 1) / tile_ * tile_;
    return multiply(last + lanes_behind(last), words);
}

std::size_t LowbitWeights::bytes() const {
    return streamed_bytes(static_cast<std::size_t>(multiply(packed_words(), 4))) + static_cast<std::size_t>(outputs + tile_) * 4;
}

void LowbitWeights::pack() {
    if (packed) return;
    const auto size = static_cast<std::size_t>(packed_words() * 4);
    packed = allocate_streamed(size);
    std::memset(packed.get(), 0, size);
    totals.assign(static_cast<std::size_t>(outputs + tile_), 0);
    auto* all = reinterpret_cast<std::uint32_t*>(packed.get());
    const int planes = ternary ? 4 : 8, width = ternary ? 2 : 1;
    for (std::int64_t o = 0; o < outputs; ++o) {
        const std::int64_t channel = o / tile_ * tile_, lanes = lanes_behind(channel);
        std::uint32_t* at = all + channel * words + (o - channel);
        std::int32_t total = 0;
        std::int64_t i = 0;
        for (std::int64_t word = 0; word < words; ++word, at += lanes) {
            std::uint32_t codes = 0;
            for (int p = 0; p < planes; ++p)
                for (int b = 0; b < 4 && i < inputs; ++b, ++i) {
                    const int weight = ternary ? constant_trit(constant_, o * inputs + i) : constant_bit(constant_, o * inputs + i) ? 1 : -1;
                    total += weight;
                    codes |= static_cast<std::uint32_t>(ternary ? weight + 1 : weight > 0) << (8 * b + p * width);
                }
            *at = codes;
        }
        totals[static_cast<std::size_t>(o)] = total;
    }
}

bool Lowbit::fits(const Graph& graph, std::span<const Shape> shapes, const Node& node, const kernel::Table& table) {
    if (node.kind != "linear") return false;
    const Value &x = graph.values[static_cast<std::size_t>(node.inputs[0])], &weight = graph.values[static_cast<std::size_t>(node.inputs[1])];
    const bool codes = x.type.dtype == DType::i8 || x.type.dtype == DType::u8;
    const bool few_bits = weight.type.dtype == DType::bit || weight.type.dtype == DType::ternary;
    return codes && few_bits && rows_of(shapes[static_cast<std::size_t>(node.outputs[0])]) <= most_rows(table) &&
           shapes[static_cast<std::size_t>(node.inputs[1])][1] <= most_inputs;
}

Lowbit::Lowbit(const Graph& graph, std::span<const Shape> shapes, const Node& node, LowbitWeights& weights, Program program)
    : weights_(weights), program_(std::move(program)), input_(node.inputs[0]),
      is_unsigned_(graph.values[static_cast<std::size_t>(input_)].type.dtype == DType::u8) {
    job_.ternary = weights.ternary;
    job_.words = weights.words;
    job_.channels = weights.outputs;
    job_.rows = rows_of(shapes[static_cast<std::size_t>(node.outputs[0])]);
    scratch = {static_cast<std::size_t>(multiply(job_.rows, multiply(weights.words, weights.inputs_of_word()))),
               static_cast<std::size_t>(job_.rows * 4)};
    reads = program_.reads();
    reads.push_back(input_);
    writes = program_.writes();
}

std::size_t Lowbit::table_bytes() const {
    return weights_.bytes() + program_.table_bytes() + (is_unsigned_ ? static_cast<std::size_t>(weights_.outputs) * 4 + 256 : 0);
}

void Lowbit::build() {
    weights_.pack();
    program_.build();
    job_.weights = reinterpret_cast<const std::uint32_t*>(weights_.packed.get());
    if (!is_unsigned_) return;
    bases_ = weights_.totals;
    for (std::int32_t& base : bases_) base *= sign_bit;
    job_.bases = bases_.data();
}

// Rows of int8 that end with 0 where a word of weights does, and their sums.
void Lowbit::prepare(const Workspace& workspace) {
    const std::int64_t inputs = weights_.inputs, row_bytes = weights_.words * weights_.inputs_of_word();
    const std::uint8_t flip = is_unsigned_ ? sign_bit : 0;
    for (std::int64_t r = 0; r < job_.rows; ++r) {
        const auto* from = workspace.at<const std::uint8_t>(input_) + r * inputs;
        auto* to = reinterpret_cast<std::uint8_t*>(scratch_at[0]) + r * row_bytes;
        std::int32_t sum = 0;
        for (std::int64_t i = 0; i < inputs; ++i) {
            to[i] = from[i] ^ flip;
            sum += static_cast<std::int8_t>(to[i]);
        }
        std::fill(to + inputs, to + row_bytes, std::uint8_t{0});
        reinterpret_cast<std::int32_t*>(scratch_at[1])[r] = sum;
    }
    job_.input = scratch_at[0];
    job_.sums = reinterpret_cast<const std::int32_t*>(scratch_at[1]);
}

void Lowbit::run(const Workspace& workspace) {
    if (job_.rows == 0) return;
    prepare(workspace);
    const kernel::Program program = program_.bind(workspace);
    job_.program = &program;
    const std::int64_t tile = std::int64_t{workspace.table.lanes} * workspace.table.vectors;
    workspace.threads.divide((job_.channels + tile - 1) / tile, job_.rows * job_.words * job_.channels, [&](std::int64_t begin, std::int64_t end) {
        workspace.table.lowbit(job_, begin, end);
    });
}

}  // namespace onebit
