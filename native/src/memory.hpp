// Places blocks that live for a while in one stretch of memory: two that live at once never overlap.
#pragma once

#include <cstddef>
#include <vector>

namespace onebit {

struct Block {
    std::size_t bytes;
    int first, last;  // the operations between which it lives, both included
    std::size_t offset = 0;
};

// Sets the offsets, multiples of 64; returns the bytes needed. Large blocks first, each at the lowest place that is free;
// thousands of them in the order of time.
std::size_t place_blocks(std::vector<Block>& blocks);

}  // namespace onebit
