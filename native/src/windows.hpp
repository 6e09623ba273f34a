// The windows of a convolution on images of one size, and what its tables are made of.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "graph.hpp"

namespace onebit {

struct Windows {
    std::int64_t height, width, out_height, out_width, kernel_h, kernel_w;
    std::int64_t stride_h, stride_w, top, left, right, dilation_h, dilation_w;

    bool operator==(const Windows&) const = default;
    std::int64_t pixels() const { return out_height * out_width; }
    std::int64_t row_of(std::int64_t y, std::int64_t kernel_row) const { return y * stride_h - top + kernel_row * dilation_h; }
    std::int64_t column_of(std::int64_t x, std::int64_t kernel_column) const { return x * stride_w - left + kernel_column * dilation_w; }
    bool has_row(std::int64_t row) const { return row >= 0 && row < height; }
    bool has_column(std::int64_t column) const { return column >= 0 && column < width; }
};

// None for what reads one tap, pixel after pixel, unless they are wanted even then (`plain`).
std::optional<Windows> windows_of(const Graph& graph, std::span<const Shape> shapes, const Node& node, bool plain = false);

// Bytes of the offsets that a product reads its taps through: the one table that no file of reasonable size holds already.
std::size_t window_table_bytes(const Graph& graph, std::span<const Shape> shapes, const Node& node);

// The border of a map: output pixels whose windows lose the same taps to the padding are of one class.
struct Border {
    std::vector<std::int32_t> row_class, column_class;  // their sum is the class of a pixel
    std::int64_t count = 1;
};
Border border_of(const Windows& windows);

}  // namespace onebit
