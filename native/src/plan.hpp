// What is done for inputs of given shapes, in which order and in which memory; worked out once and then run any number of times.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "generic.hpp"
#include "lowbit.hpp"
#include "memory.hpp"
#include "operation.hpp"
#include "weights.hpp"

namespace onebit {

// A run needs more than max_memory allows, or than the machine gives.
class MemoryLimit : public std::invalid_argument {
public:
    using std::invalid_argument::invalid_argument;
};

// What all plans of a model share.
struct Shared {
    const Graph& graph;
    const kernel::Table& table;
    Threads& threads;
    std::optional<std::size_t> max_memory;
    std::vector<std::unique_ptr<Weights>> weights;  // by node, made when first needed
    std::vector<std::byte*> values;                 // constants and states, as the engine stores them; null for the rest

    std::map<std::size_t, std::unique_ptr<LowbitWeights>> lowbit = {};

    Weights& weights_of(std::size_t node);
    LowbitWeights& lowbit_of(std::size_t node);
};

// What a run does at once: one node, or several whose results in between stay in registers.
struct Step {
    std::vector<std::size_t> nodes;  // of the graph, the last one makes the result
    std::size_t bytes_read;          // of values, packed weights and tables, each once
    std::size_t bytes_written;
};

class Plan {
public:
    // Measures only, and throws MemoryLimit before anything large is allocated; allocate() must come before the first run.
    Plan(Shared& shared, std::span<const Shape> inputs);
    void allocate();

    bool fits(std::span<const Shape> inputs) const;
    const Shape& shape(int value) const { return shapes_[static_cast<std::size_t>(value)]; }
    std::vector<Step> steps() const;
    std::size_t bytes() const { return bytes_; }  // all that allocate(), the weights and the caller's outputs take

    // Pointers to the inputs and outputs in the order of the graph, bits as int8. `seconds`, where it is given, becomes the time
    // of each step.
    void run(std::span<const void* const> inputs, std::span<void* const> outputs, std::vector<double>* seconds = nullptr);
    const std::byte* stored(int value) const { return values_[root(value)]; }

private:
    std::size_t root(int value) const { return static_cast<std::size_t>(roots_[static_cast<std::size_t>(value)]); }
    DType dtype(int value) const { return shared_.graph.values[static_cast<std::size_t>(value)].type.dtype; }
    std::size_t bytes_of(int value) const { return storage_bytes(dtype(value), shape(value)); }

    void make_operations();
    void check_memory(std::size_t bytes) const;
    void place();
    void share(int from, int to, int when);
    bool touches_another(std::span<const void* const> inputs, std::span<void* const> outputs, std::size_t output) const;

    Shared& shared_;
    std::vector<Shape> input_shapes_;
    std::vector<Shape> shapes_;
    std::vector<int> roots_;  // the value whose memory a value shares
    std::vector<std::unique_ptr<Operation>> operations_;
    std::vector<Block> blocks_;
    std::vector<int> block_of_;                // by value, -1 for none
    std::vector<std::size_t> scratch_blocks_;  // in the order of the operations
    std::vector<bool> direct_;  // by output: may be made in the caller's array at once
    std::size_t arena_bytes_ = 0;
    Buffer arena_;
    std::size_t bytes_ = 0;
    std::vector<std::byte*> values_;
};

}  // namespace onebit
