// A chain of pointwise nodes as steps for the kernel.
#pragma once

#include <functional>
#include <span>
#include <unordered_set>
#include <vector>

#include "graph.hpp"
#include "operation.hpp"

namespace onebit {

// Whether this node can be a step of a program over tensors of the shape of its output.
bool is_pointwise(const Graph& graph, std::span<const Shape> shapes, const Node& node);

class Program {
public:
    // `producer` is the value that the product before the steps leaves in the tile, -1 for none.
    // `escapes` says which values something else reads.
    Program(const Graph& graph, std::span<const Shape> shapes, std::int64_t channels, int producer,
            std::span<const Node* const> nodes, const std::function<bool(int)>& escapes);

    const std::vector<int>& reads() const { return reads_; }
    const std::vector<int>& writes() const { return writes_; }
    // A value that one step reads once, and one that a step after it stores: each element is read before its place is written.
    std::vector<std::pair<int, int>> in_place() const;
    std::size_t table_bytes() const { return table_bytes_; }
    bool leads_with_threshold() const { return !steps_.empty() && steps_[0].op == kernel::Op::threshold; }
    const kernel::Step& first() const { return steps_[0]; }
    std::int64_t channels() const { return channels_; }
    bool knows_no_channel() const;  // every element is treated alike
    void build();
    kernel::Program bind(const Workspace& workspace);

private:
    // What a step points at: a value that moves from run to run, or a vector of constants.
    struct Link {
        int first = -1, out = -1;               // values
        int first_constant = -1, second_constant = -1;  // values that are constants, read as vectors
    };

    void add(kernel::Step step, Link link);
    void add_node(const Node& node, int& current);
    void add_load(int value);
    void add_store(int value);
    bool is_full(int value) const { return shapes_[static_cast<std::size_t>(value)] == *shape_; }
    bool is_integer(int value) const;
    const float* vector_of(int value);

    const Graph& graph_;
    std::span<const Shape> shapes_;
    const Shape* shape_ = nullptr;
    std::int64_t channels_;
    std::vector<kernel::Step> steps_;
    std::vector<Link> links_;
    std::vector<int> reads_, writes_;
    std::unordered_set<int> stored_;
    std::vector<Buffer> vectors_;
    std::size_t table_bytes_ = 0;
};

}  // namespace onebit
