// The ceiling: how fast the bare kernel is when everything lies in the first-level cache.
#pragma once

#include <string_view>

namespace onebit {

// Multiply-accumulates per second, the best of repeated runs during `seconds`, on one thread.
double peak(std::string_view isa, std::string_view arithmetic, double seconds);

// Cycles per second of this thread's core while it is busy: a chain of additions that wait for each other, the best of repeated
// runs during `seconds`. 0 where no such chain is written for the processor.
double clock(double seconds);

}  // namespace onebit
