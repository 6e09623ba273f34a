// Kernels of bits stored as a tree of differences (`reuse` in docs/file-format.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "graph.hpp"

namespace onebit {

// Bytes of the plain bits of such a tensor, which are at most four times what is stored; std::invalid_argument where shape and
// size of what is stored do not belong together.
std::size_t reuse_bytes(std::int64_t words, const Shape& shape);

// Writes the plain bits to `out`, which holds zeros; std::invalid_argument says what is wrong.
void unpack_reuse(std::span<const std::byte> stored, const Shape& shape, std::byte* out);

}  // namespace onebit
