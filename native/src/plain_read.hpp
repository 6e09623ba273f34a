// What memory gives to somebody who only reads: the roof of everything that streams weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cpu.hpp"
#include "threads.hpp"

namespace onebit {

class PlainRead {
public:
    PlainRead(std::string_view isa, int threads) : isa_(choose_isa(isa)), threads_(threads) {}

    // The sum of `count` 32-bit words, read in the widest vectors of the instruction set by all threads.
    std::uint32_t sum(const std::uint32_t* words, std::int64_t count);

private:
    Isa isa_;
    Threads threads_;
};

}  // namespace onebit
