// A convolution in which every channel has a filter of its own: channels in the lanes, as in a pool, and no products of rows.
#pragma once

#include "operation.hpp"
#include "program.hpp"
#include "windows.hpp"

namespace onebit {

class Depthwise : public Operation {
public:
    // As many groups as channels before and after, float32 or int8 weights. Bits and ternary weights go the way of all products.
    static bool fits(const Graph& graph, const Node& node);

    Depthwise(const Graph& graph, std::span<const Shape> shapes, const Node& node, Program program);

    std::size_t table_bytes() const override;
    void build() override;
    void run(const Workspace& workspace) override;

private:
    const Constant& weight_;
    Program program_;
    int input_;
    Windows windows_;
    std::int64_t pad_value_;
    kernel::Depthwise job_;
    Buffer weights_, padding_;
    std::vector<std::int32_t> offsets_;
};

}  // namespace onebit
