#include "rows.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace onebit {

using kernel::Arithmetic;

Rows::Rows(DType dtype, const Shape& shape, const Weights& weights, const std::optional<Windows>& windows, std::int64_t pad_value)
    : dtype_(dtype), arithmetic_(weights.arithmetic), whole_rows_(weights.whole_rows), channels_(channels_of(shape)),
      inputs_(weights.inputs), groups_(weights.groups), words_(weights.words), pad_value_(pad_value), images_(windows ? shape[0] : 1),
      pixels_(rows_of(shape)) {
    const std::int64_t stored_bytes = multiply(dtype == DType::bit ? words_of(channels_) : channels_, dtype == DType::bit || dtype == DType::f32 ? 4 : 1);
    switch (arithmetic_) {
        case Arithmetic::bits: copied_ = groups_ > 1 && inputs_ % 32 != 0; break;
        case Arithmetic::bytes: copied_ = dtype != DType::u8 || inputs_ % 4 != 0; break;
        case Arithmetic::pairs: copied_ = true; break;
        default: copied_ = false;
    }
    if (arithmetic_ == Arithmetic::bytes && dtype != DType::u8) excess_ = 128;
    group_bytes_ = multiply(words_, 4);
    pixel_bytes_ = copied_ ? multiply(group_bytes_, groups_) : stored_bytes;
    if (whole_rows_) {
        left_ = windows->left;
        right_ = windows->right;
        width_ = windows->width;
        lines_ = multiply(images_, windows->height);
        pixel_bytes_ = channels_;
        copied_ = true;
    }
    if (!windows) {
        image_bytes_ = multiply(pixels_, pixel_bytes_);
        return;
    }
    line_bytes_ = multiply(add(windows->width, left_ + right_), pixel_bytes_);
    image_bytes_ = multiply(windows->height, line_bytes_);
    if (image_bytes_ / unit() > std::numeric_limits<std::int32_t>::max())
        throw std::invalid_argument("an image of " + std::to_string(image_bytes_) + " bytes is larger than a convolution can address");
}

std::vector<std::byte> Rows::padding() const {
    std::vector<std::byte> row(static_cast<std::size_t>(words_ * 4));
    auto* words = reinterpret_cast<std::uint32_t*>(row.data());
    switch (arithmetic_) {
        case Arithmetic::floats: std::fill_n(words, words_, std::bit_cast<std::uint32_t>(static_cast<float>(pad_value_))); break;
        case Arithmetic::bytes: std::fill(row.begin(), row.end(), static_cast<std::byte>(pad_value_ + excess_)); break;
        case Arithmetic::bits:
            if (pad_value_ == 1)
                for (std::int64_t i = 0; i < inputs_; ++i) words[i / 32] |= 1u << (i % 32);
            break;
        case Arithmetic::pairs: break;  // the graph pads integers with 0 alone
    }
    return row;
}

void Rows::copy_bits(const std::byte* from, std::byte* to, std::int64_t begin, std::int64_t end) const {
    auto* out = reinterpret_cast<std::uint32_t*>(to) + begin * words_ * groups_;
    for (std::int64_t pixel = begin; pixel < end; ++pixel) {
        const auto* bits = reinterpret_cast<const std::uint32_t*>(from) + pixel * words_of(channels_);
        for (std::int64_t first = 0; first < channels_; first += inputs_, out += words_) {
            std::fill_n(out, words_, 0u);
            for (std::int64_t i = 0; i < inputs_; ++i) out[i / 32] |= (bits[(first + i) / 32] >> ((first + i) % 32) & 1) << (i % 32);
        }
    }
}

// `count` elements from channel `first` of a pixel on. T: int16 of a pair, or uint8, which holds 128 more than an int8.
template <class T>
void Rows::convert(const std::byte* from, std::int64_t pixel, std::int64_t first, std::int64_t count, T* out) const {
    const auto excess = static_cast<T>(excess_);
    if (dtype_ == DType::bit) {
        const auto* bits = reinterpret_cast<const std::uint32_t*>(from) + pixel * words_of(channels_);
        for (std::int64_t i = 0; i < count; ++i)
            out[i] = static_cast<T>((bits[(first + i) / 32] >> ((first + i) % 32) & 1 ? 1 : -1) + excess);
        return;
    }
    from += pixel * channels_ + first;
    if (dtype_ == DType::i8) {
        for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(static_cast<std::int8_t>(from[i]) + excess);
    } else {
        for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(from[i]);
    }
}

template <class T>
void Rows::copy_integers(const std::byte* from, std::byte* to, std::int64_t begin, std::int64_t end) const {
    const std::int64_t row = words_ * 4 / static_cast<std::int64_t>(sizeof(T));  // of a group
    auto* out = reinterpret_cast<T*>(to) + begin * row * groups_;
    if (dtype_ != DType::bit && row == inputs_) return convert<T>(from, begin, 0, (end - begin) * channels_, out);
    for (std::int64_t pixel = begin; pixel < end; ++pixel)
        for (std::int64_t first = 0; first < channels_; first += inputs_, out += row) {
            reinterpret_cast<std::uint32_t*>(out)[words_ - 1] = 0;  // what is left of it meets weights that are 0
            convert<T>(from, pixel, first, inputs_, out);
        }
}

// Lines of images with their padding to the left and right.
void Rows::copy_lines(const std::byte* from, std::byte* to, std::int64_t begin, std::int64_t end) const {
    const auto pad = static_cast<std::uint8_t>(pad_value_ + excess_);
    auto* out = reinterpret_cast<std::uint8_t*>(to) + begin * line_bytes_;
    for (std::int64_t line = begin; line < end; ++line) {
        out = std::fill_n(out, left_ * channels_, pad);
        const std::int64_t step = dtype_ == DType::bit ? 1 : width_;
        for (std::int64_t x = 0; x < width_; x += step, out += step * channels_)
            convert<std::uint8_t>(from, line * width_ + x, 0, step * channels_, out);
        out = std::fill_n(out, right_ * channels_, pad);
    }
}

void Rows::copy(Threads& threads, const std::byte* from, std::byte* to) const {
    const std::int64_t work = pixels_ * channels_ / 8;
    if (whole_rows_) {
        threads.divide(lines_, work, [&](std::int64_t begin, std::int64_t end) { copy_lines(from, to, begin, end); });
        return;
    }
    threads.divide(pixels_, work, [&](std::int64_t begin, std::int64_t end) {
        switch (arithmetic_) {
            case Arithmetic::bits: return copy_bits(from, to, begin, end);
            case Arithmetic::bytes: return copy_integers<std::uint8_t>(from, to, begin, end);
            default: return copy_integers<std::int16_t>(from, to, begin, end);
        }
    });
}

}  // namespace onebit
