// The weights of a convolution or linear layer in the order in which the kernel reads them.
#pragma once

#include <vector>

#include "kernel/kernel.hpp"
#include "tensor.hpp"

namespace onebit {

class Weights {
public:
    kernel::Arithmetic arithmetic;
    bool whole_rows = false;  // bytes: a tap is a row of the kernel, its pixels side by side in the input as well
    std::int64_t outputs, taps, inputs;  // of one group: output channels, taps, elements of a tap
    std::int64_t groups;
    std::int64_t words;        // of a tap
    std::int64_t group_words;  // from one group to the next, in `packed`
    Buffer packed;             // [group][tile][tap][word][lane]
    // What the sums are corrected by. Bits: set bits of [output channel of all groups][tap]; bytes: sum of [output channel].
    std::vector<std::int32_t> totals;

    // `x` is the dtype of the input, `weight` (O, ..., I) the constant. Only measures; pack() allocates and fills.
    Weights(const Constant& weight, DType x, const Node& node, const kernel::Table& table);
    std::size_t bytes() const;
    void pack();

private:
    std::int64_t totals_of_output() const;

    const Constant& constant_;
    const kernel::Table& table_;
};

}  // namespace onebit
