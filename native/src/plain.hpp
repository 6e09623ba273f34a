// A generic kind; bits are unpacked to int8 before it and packed after it, unless it takes them as they are.
#pragma once

#include <vector>

#include "generic.hpp"
#include "operation.hpp"

namespace onebit {

class Plain : public Operation {
public:
    Plain(const Graph& graph, std::span<const Shape> shapes, const Node& node);
    void run(const Workspace& workspace) override;

private:
    const Node& node_;
    const Generic& generic_;
    std::vector<View> views_;   // inputs, then the output
    std::vector<int> pieces_;   // of scratch, -1: the stored value itself
};

}  // namespace onebit
