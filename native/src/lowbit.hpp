// linear for few rows of int8 and weights of one bit or three values: the matrix stays packed in memory and is read once.
#pragma once

#include <vector>

#include "kernel/lowbit.hpp"
#include "operation.hpp"
#include "program.hpp"

namespace onebit {

// A matrix (O, I) of bits or ternary numbers in the order in which the kernel reads it.
class LowbitWeights {
public:
    // Only measures; pack() allocates and fills.
    LowbitWeights(const Constant& weight, const kernel::Table& table);
    std::size_t bytes() const;  // of all that pack() makes
    void pack();

    bool ternary;
    std::int64_t outputs, inputs;
    std::int64_t words;  // of an output channel
    std::int64_t inputs_of_word() const { return ternary ? 16 : 32; }
    Buffer packed;                     // [tile][word][lane]
    std::vector<std::int32_t> totals;  // [output] of its weights; 0 behind the last

private:
    std::int64_t lanes_behind(std::int64_t channel) const;
    std::int64_t packed_words() const;

    const Constant& constant_;
    std::int64_t tile_;
};

class Lowbit : public Operation {
public:
    // Whether this is the way to do a node: a linear layer of few rows in such a number system.
    static bool fits(const Graph& graph, std::span<const Shape> shapes, const Node& node, const kernel::Table& table);

    Lowbit(const Graph& graph, std::span<const Shape> shapes, const Node& node, LowbitWeights& weights, Program program);

    std::size_t table_bytes() const override;
    void build() override;
    void run(const Workspace& workspace) override;

private:
    void prepare(const Workspace& workspace);

    LowbitWeights& weights_;
    Program program_;
    int input_;
    bool is_unsigned_;
    kernel::LowbitJob job_;
    std::vector<std::int32_t> bases_;
};

}  // namespace onebit
