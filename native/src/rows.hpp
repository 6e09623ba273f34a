// The input of a product as the kernel reads it: as it stands, or copied into rows in which every group starts at a word.
#pragma once

#include <optional>

#include "operation.hpp"
#include "weights.hpp"
#include "windows.hpp"

namespace onebit {

class Rows {
public:
    Rows(DType dtype, const Shape& shape, const Weights& weights, const std::optional<Windows>& windows, std::int64_t pad_value);

    bool copied() const { return copied_; }
    std::size_t copy_bytes() const { return static_cast<std::size_t>(add(multiply(images_, image_bytes_), slack)); }
    void copy(Threads& threads, const std::byte* from, std::byte* to) const;

    std::int64_t image_bytes() const { return image_bytes_; }
    std::int32_t pixel_bytes() const { return static_cast<std::int32_t>(pixel_bytes_); }
    std::int32_t group_bytes() const { return static_cast<std::int32_t>(group_bytes_); }
    // Of the pixel in this row of the image, and in this column: for whole rows the column counts from the padding on.
    std::int32_t offset(std::int64_t row, std::int64_t column) const {
        return static_cast<std::int32_t>((row * line_bytes_ + column * pixel_bytes_) / unit());
    }
    // A tap that lies in the padding.
    std::vector<std::byte> padding() const;
    // What the sums are too large by for each 1 in the sum of the weights: int8 is kept as uint8, 128 more.
    std::int32_t excess() const { return excess_; }

private:
    template <class T>
    void convert(const std::byte* from, std::int64_t pixel, std::int64_t first, std::int64_t count, T* out) const;
    void copy_bits(const std::byte* from, std::byte* to, std::int64_t begin, std::int64_t end) const;
    template <class T>
    void copy_integers(const std::byte* from, std::byte* to, std::int64_t begin, std::int64_t end) const;
    std::int64_t unit() const { return kernel::unit_of(arithmetic_); }
    void copy_lines(const std::byte* from, std::byte* to, std::int64_t begin, std::int64_t end) const;

    static constexpr std::int64_t slack = 4;  // the last word of a row of the kernel may begin where the image ends

    DType dtype_;
    kernel::Arithmetic arithmetic_;
    bool whole_rows_, copied_;
    std::int32_t excess_ = 0;
    std::int64_t channels_, inputs_, groups_, words_, pad_value_;
    std::int64_t images_, pixels_;                     // pixels: of all images
    std::int64_t left_ = 0, right_ = 0, width_ = 0, lines_ = 0;  // whole rows
    std::int64_t pixel_bytes_, line_bytes_ = 0, group_bytes_, image_bytes_ = 0;
};

}  // namespace onebit
