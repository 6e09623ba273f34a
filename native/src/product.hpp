// conv and linear with the pointwise steps that follow them.
#pragma once

#include <memory>
#include <optional>

#include "operation.hpp"
#include "program.hpp"
#include "weights.hpp"

namespace onebit {

// The windows of a convolution on images of one size.
struct Windows {
    std::int64_t height, width, out_height, out_width, kernel_h, kernel_w;
    std::int64_t stride_h, stride_w, top, left, dilation_h, dilation_w;

    bool operator==(const Windows&) const = default;
    std::int64_t pixels() const { return out_height * out_width; }
    std::int64_t taps() const { return kernel_h * kernel_w; }
    std::int64_t row_of(std::int64_t y, std::int64_t tap) const { return y * stride_h - top + tap / kernel_w * dilation_h; }
    std::int64_t column_of(std::int64_t x, std::int64_t tap) const { return x * stride_w - left + tap % kernel_w * dilation_w; }
    bool inside(std::int64_t row, std::int64_t column) const {
        return row >= 0 && row < height && column >= 0 && column < width;
    }
};

// None for what reads one tap, pixel after pixel.
std::optional<Windows> windows_of(const Graph& graph, std::span<const Shape> shapes, const Node& node);

// Bytes of the offsets that a product reads its taps through: the one table that no file of reasonable size holds already.
std::size_t window_table_bytes(const Graph& graph, std::span<const Shape> shapes, const Node& node);

class Product : public Operation {
public:
    Product(const Graph& graph, std::span<const Shape> shapes, const Node& node, Weights& weights, Program program);

    std::size_t table_bytes() const override;
    void build() override;
    void run(const Workspace& workspace) override;

private:
    const std::uint32_t* prepare(const Workspace& workspace) const;
    void build_offsets();
    void build_bases();
    void build_padding();

    Weights& weights_;
    Program program_;
    int input_;
    DType input_dtype_;
    std::int64_t input_rows_, input_channels_;
    bool regroup_ = false;
    std::int64_t pad_value_ = 0;
    std::optional<Windows> windows_;  // none: one tap, pixel after pixel
    kernel::Job job_;
    std::int64_t class_count_ = 1;
    std::vector<std::int32_t> row_class_, column_class_;  // border class of a row, of a column of windows
    std::vector<std::int32_t> offsets_, classes_, bases_;
    std::vector<std::uint32_t> padding_;
};

}  // namespace onebit
