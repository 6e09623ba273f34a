#include "memory.hpp"

#include <algorithm>
#include <numeric>

#include "tensor.hpp"

namespace onebit {

std::size_t place_blocks(std::vector<Block>& blocks) {
    std::vector<std::size_t> order(blocks.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return blocks[a].bytes > blocks[b].bytes; });

    std::vector<std::size_t> placed;  // by offset
    std::size_t total = 0;
    for (const std::size_t i : order) {
        Block& block = blocks[i];
        const auto size = static_cast<std::int64_t>(round_up(block.bytes));
        std::int64_t offset = 0;
        for (const std::size_t j : placed) {
            const Block& other = blocks[j];
            if (other.last < block.first || block.last < other.first) continue;
            const auto start = static_cast<std::int64_t>(other.offset);
            if (add(offset, size) <= start) break;
            offset = std::max(offset, start + static_cast<std::int64_t>(round_up(other.bytes)));
        }
        block.offset = static_cast<std::size_t>(offset);
        total = std::max(total, static_cast<std::size_t>(add(offset, size)));
        placed.insert(std::upper_bound(placed.begin(), placed.end(), block.offset,
                                       [&](std::size_t at, std::size_t j) { return at < blocks[j].offset; }),
                      i);
    }
    return total;
}

}  // namespace onebit
