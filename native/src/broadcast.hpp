// Walks over an output and the operands that broadcast to it, one run of the last axis at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "tensor.hpp"

namespace onebit {

template <std::size_t N>
struct Walk {
    std::array<std::int64_t, max_rank> sizes{};
    std::array<std::array<std::int64_t, max_rank>, N> strides{};
    std::size_t rank = 0;

    // Strides in elements, 0 along axes that repeat.
    Walk(std::span<const std::int64_t> out, const std::array<std::span<const std::int64_t>, N>& operands)
        : rank(out.empty() ? 1 : out.size()) {
        sizes[0] = 1;
        for (std::size_t i = 0; i < out.size(); ++i) sizes[i] = out[i];
        for (std::size_t k = 0; k < N; ++k) {
            const auto shape = operands[k];
            std::int64_t stride = 1;
            for (std::size_t i = shape.size(); i-- > 0;) {
                strides[k][rank - shape.size() + i] = shape[i] == 1 ? 0 : stride;
                stride *= shape[i];
            }
        }
    }

    // body(offset of the output, offsets of the operands, length, steps of the operands)
    template <class Body>
    void run(const Body& body) const {
        for (std::size_t i = 0; i < rank; ++i)
            if (sizes[i] == 0) return;
        std::array<std::int64_t, max_rank> at{};
        std::array<std::int64_t, N> offsets{}, steps{};
        for (std::size_t k = 0; k < N; ++k) steps[k] = strides[k][rank - 1];
        for (std::int64_t out = 0;; out += sizes[rank - 1]) {
            body(out, offsets, sizes[rank - 1], steps);
            std::size_t axis = rank - 1;
            for (;;) {
                if (axis == 0) return;
                --axis;
                for (std::size_t k = 0; k < N; ++k) offsets[k] += strides[k][axis];
                if (++at[axis] < sizes[axis]) break;
                for (std::size_t k = 0; k < N; ++k) offsets[k] -= strides[k][axis] * sizes[axis];
                at[axis] = 0;
            }
        }
    }
};

}  // namespace onebit
