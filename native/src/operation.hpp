// One thing that a plan does: it reads values, writes values, and may need scratch memory while it runs.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernel/kernel.hpp"
#include "tensor.hpp"
#include "threads.hpp"

namespace onebit {

struct Workspace {
    std::byte* const* values;  // by index into Graph::values
    Threads& threads;
    const kernel::Table& table;

    template <class T>
    T* at(int value) const {
        return reinterpret_cast<T*>(values[value]);
    }
};

class Operation {
public:
    virtual ~Operation() = default;

    // Bytes of the tables that build() will make, known before anything is allocated.
    virtual std::size_t table_bytes() const { return 0; }
    virtual void build() {}
    // Allocates nothing.
    virtual void run(const Workspace& workspace) = 0;

    std::vector<std::size_t> nodes;  // of the graph that it does
    std::vector<int> reads;
    std::vector<int> writes;
    std::vector<std::pair<int, int>> in_place;  // read and written: the second may lie where the first does, if nobody reads that later
    std::vector<std::size_t> scratch;     // bytes of each piece
    std::vector<std::byte*> scratch_at;   // where the plan has put it
};

}  // namespace onebit
