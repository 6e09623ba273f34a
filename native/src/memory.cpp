#include "memory.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "tensor.hpp"

namespace onebit {

namespace {

constexpr std::size_t few = 2048;  // so many are placed well, which takes the square of their number

// Stretches of memory that are free, below the highest byte that was ever used.
class Holes {
public:
    std::int64_t take(std::int64_t size) {
        const auto found = by_size_.lower_bound({size, 0});
        if (found == by_size_.end()) return std::exchange(end_, add(end_, size));
        const auto [length, offset] = *found;
        by_size_.erase(found);
        by_offset_.erase(offset);
        if (length > size) put(offset + size, length - size);
        return offset;
    }

    void give(std::int64_t offset, std::int64_t size) {
        if (size == 0) return;
        auto next = by_offset_.lower_bound(offset);
        if (next != by_offset_.end() && next->first == offset + size) {
            size += next->second;
            next = remove(next);
        }
        if (next != by_offset_.begin() && std::prev(next)->first + std::prev(next)->second == offset) {
            offset = std::prev(next)->first;
            size += std::prev(next)->second;
            remove(std::prev(next));
        }
        put(offset, size);
    }

    std::size_t end() const { return static_cast<std::size_t>(end_); }

private:
    using Offsets = std::map<std::int64_t, std::int64_t>;

    void put(std::int64_t offset, std::int64_t size) {
        by_offset_.emplace(offset, size);
        by_size_.emplace(size, offset);
    }

    Offsets::iterator remove(Offsets::iterator hole) {
        by_size_.erase({hole->second, hole->first});
        return by_offset_.erase(hole);
    }

    Offsets by_offset_;
    std::set<std::pair<std::int64_t, std::int64_t>> by_size_;
    std::int64_t end_ = 0;
};

// In the order of time, each into the smallest hole that holds it: n log n.
std::size_t place_by_time(std::vector<Block>& blocks) {
    std::vector<std::size_t> births(blocks.size());
    std::iota(births.begin(), births.end(), 0);
    std::vector<std::size_t> deaths = births;
    std::stable_sort(births.begin(), births.end(), [&](auto a, auto b) { return blocks[a].first < blocks[b].first; });
    std::stable_sort(deaths.begin(), deaths.end(), [&](auto a, auto b) { return blocks[a].last < blocks[b].last; });
    Holes holes;
    auto dead = deaths.begin();
    for (const std::size_t i : births) {
        for (; blocks[*dead].last < blocks[i].first; ++dead)
            holes.give(static_cast<std::int64_t>(blocks[*dead].offset), static_cast<std::int64_t>(round_up(blocks[*dead].bytes)));
        blocks[i].offset = static_cast<std::size_t>(holes.take(static_cast<std::int64_t>(round_up(blocks[i].bytes))));
    }
    return holes.end();
}

}  // namespace

std::size_t place_blocks(std::vector<Block>& blocks) {
    if (blocks.size() > few) return place_by_time(blocks);
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
