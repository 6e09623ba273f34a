// Which kernels this processor can run.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/kernel.hpp"

namespace onebit {

// Names of the instruction sets that can be used here, fastest first; the last is "portable".
std::vector<std::string> available_isas();
const char* isa_name(std::size_t index);  // of the same list, null beyond its end

struct Isa {
    std::string name;
    const kernel::Table* table;
};

// The named one, the fastest for an empty name; std::invalid_argument when it is unknown or this processor lacks it.
Isa choose_isa(std::string_view name);

}  // namespace onebit
