// The weights of a convolution or linear layer in the order in which the kernel reads them.
#pragma once

#include <vector>

#include "kernel/kernel.hpp"
#include "tensor.hpp"

namespace onebit {

class Weights {
public:
    kernel::Arithmetic arithmetic;
    std::int64_t outputs, taps, inputs;  // of one group: output channels, taps, input channels
    std::int64_t groups;
    std::int64_t words;        // of a tap
    std::int64_t group_words;  // from one group to the next, in `packed`
    Buffer packed;             // [group][tile][tap][word][lane]
    std::vector<std::int32_t> ones;  // bits: set bits of [output channel of all groups][tap]

    // `x` is the dtype of the input, `weight` (O, ..., I) the constant. Only measures; pack() allocates and fills.
    Weights(const Constant& weight, DType x, std::int64_t groups, const kernel::Table& table);
    std::size_t bytes() const;
    void pack();

private:
    const Constant& constant_;
    const kernel::Table& table_;
};

kernel::Arithmetic arithmetic_of(DType x, DType weight);

}  // namespace onebit
