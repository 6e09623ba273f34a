// The kinds that are no product: simple loops, in the order that docs/kinds.md gives.
#pragma once

#include <span>
#include <string_view>

#include "kernel/kernel.hpp"
#include "tensor.hpp"
#include "threads.hpp"

namespace onebit {

struct Call {
    const Node& node;
    std::span<const View> in;
    View out;
    Threads& threads;
    const kernel::Table& table;
};

struct Generic {
    std::string_view kind;
    void (*run)(const Call&);
    bool packed = false;  // takes and gives packed bits as they are; else bits are int8 of -1 and +1 in the call
};

std::span<const Generic> elementwise_kinds();  // generic_elementwise.cpp
std::span<const Generic> shape_kinds();        // generic_shape.cpp
std::span<const Generic> float_kinds();        // generic_float.cpp
std::span<const Generic> pool_kinds();         // generic_pool.cpp

const Generic& find_generic(std::string_view kind);

}  // namespace onebit
