// Kinds that move elements and compute nothing: whatever the dtype, an element is a number of bytes.
#include <algorithm>
#include <array>
#include <cstring>

#include "generic.hpp"

namespace onebit {

namespace {

std::size_t size_of(DType dtype) { return element_bytes(dtype); }

std::int64_t product(const Shape& shape, std::size_t from, std::size_t to) {
    return element_count(std::span(shape).subspan(from, to - from));
}

// Axes that stay side by side are one axis, axes of size 1 none: most transposes are then of two axes, or of two within a third.
struct Order {
    std::array<std::int64_t, max_rank> sizes{}, strides{};  // of the output's axes: elements, and distance in the input
    std::size_t rank = 0;
};

Order order_of(const Call& call) {
    const Shape &in = *call.in[0].shape, &out = *call.out.shape;
    const auto& perm = call.node.integers("perm");
    std::array<std::int64_t, max_rank> in_strides{};
    std::int64_t stride = 1;
    for (std::size_t i = in.size(); i-- > 0; stride *= in[i]) in_strides[i] = stride;
    Order order;
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (out[i] == 1) continue;
        const std::int64_t step = in_strides[static_cast<std::size_t>(perm[i])];
        if (order.rank > 0 && order.strides[order.rank - 1] == step * out[i]) {
            order.sizes[order.rank - 1] *= out[i];
            order.strides[order.rank - 1] = step;
            continue;
        }
        order.sizes[order.rank] = out[i];
        order.strides[order.rank++] = step;
    }
    for (; order.rank < 2; ++order.rank) {  // axes of size 1 in front
        std::copy_backward(order.sizes.begin(), order.sizes.begin() + order.rank, order.sizes.begin() + order.rank + 1);
        std::copy_backward(order.strides.begin(), order.strides.begin() + order.rank, order.strides.begin() + order.rank + 1);
        order.sizes[0] = 1;
        order.strides[0] = 0;
    }
    return order;
}

// The last two axes, in blocks whose lines stay in the first-level cache.
template <class T>
void transpose_plane(const T* __restrict from, T* __restrict to, std::int64_t rows, std::int64_t row_step, std::int64_t columns, std::int64_t column_step) {
    if (columns == 3) {  // images of red, green, blue
        for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t c = 0; c < 3; ++c) to[r * 3 + c] = from[r * row_step + c * column_step];
        return;
    }
    constexpr std::int64_t block = 64;
    for (std::int64_t first = 0; first < rows; first += block)
        for (std::int64_t start = 0; start < columns; start += block)
            for (std::int64_t r = first; r < std::min(rows, first + block); ++r)
                for (std::int64_t c = start; c < std::min(columns, start + block); ++c)
                    to[r * columns + c] = from[r * row_step + c * column_step];
}

template <class T>
void transpose_elements(const Call& call) {
    const Order order = order_of(call);
    const std::int64_t count = element_count(*call.out.shape);
    if (count == 0) return;
    const T* from = call.in[0].as<const T>();
    T* to = call.out.as<T>();
    const std::size_t outer = order.rank - 2;
    const std::int64_t rows = order.sizes[outer], columns = order.sizes[outer + 1], planes = count / (rows * columns);
    call.threads.divide(planes * rows, count, [&](std::int64_t begin, std::int64_t end) {
        while (begin < end) {
            const std::int64_t plane = begin / rows, row = begin % rows, some = std::min(rows - row, end - begin);
            std::int64_t offset = row * order.strides[outer];
            for (std::size_t axis = outer, left = static_cast<std::size_t>(plane); axis-- > 0; left /= static_cast<std::size_t>(order.sizes[axis]))
                offset += static_cast<std::int64_t>(left % static_cast<std::size_t>(order.sizes[axis])) * order.strides[axis];
            transpose_plane(from + offset, to + begin * columns, some, order.strides[outer], columns, order.strides[outer + 1]);
            begin += some;
        }
    });
}

void transpose(const Call& call) {
    switch (size_of(call.out.dtype)) {
        case 1: return transpose_elements<std::uint8_t>(call);
        case 4: return transpose_elements<std::uint32_t>(call);
        default: return transpose_elements<std::uint64_t>(call);
    }
}

void concat(const Call& call) {
    const Shape& out = *call.out.shape;
    auto axis = static_cast<std::size_t>(call.node.integer("axis"));
    const auto size = static_cast<std::int64_t>(size_of(call.out.dtype));
    const std::int64_t outer = product(out, 0, axis), inner = product(out, axis + 1, out.size()) * size;
    std::byte* to = call.out.data;
    for (std::int64_t o = 0; o < outer; ++o)
        for (const View& part : call.in) {
            const std::int64_t bytes = (*part.shape)[axis] * inner;
            if (bytes != 0) std::memcpy(to, part.data + o * bytes, static_cast<std::size_t>(bytes));
            to += bytes;
        }
}

void slice(const Call& call) {
    const Shape &in = *call.in[0].shape, &out = *call.out.shape;
    const auto axis = static_cast<std::size_t>(call.node.integer("axis"));
    const std::int64_t start = call.node.integer("start"), step = call.node.integer("step");
    const auto size = static_cast<std::int64_t>(size_of(call.out.dtype));
    const std::int64_t outer = product(out, 0, axis), inner = product(out, axis + 1, out.size()) * size;
    if (inner == 0) return;
    std::byte* to = call.out.data;
    for (std::int64_t o = 0; o < outer; ++o)
        for (std::int64_t i = 0; i < out[axis]; ++i, to += inner)
            std::memcpy(to, call.in[0].data + (o * in[axis] + start + i * step) * inner, static_cast<std::size_t>(inner));
}

template <class T>
void pad_elements(const Call& call, T value) {
    const Shape &in = *call.in[0].shape, &out = *call.out.shape;
    const auto& pads = std::get<std::vector<std::vector<std::int64_t>>>(call.node.attributes.find("pads")->second);
    const T* from = call.in[0].as<const T>();
    T* to = call.out.as<T>();
    std::fill_n(to, element_count(out), value);
    const std::size_t rank = in.size();
    if (element_count(in) == 0) return;
    if (rank == 0) {
        *to = *from;
        return;
    }
    // Where the row of the input begins in the output; then row after row.
    std::array<std::int64_t, max_rank> strides{}, at{};
    std::int64_t stride = 1, offset = 0;
    for (std::size_t axis = rank; axis-- > 0; stride *= out[axis]) {
        strides[axis] = stride;
        offset += pads[axis][0] * stride;
    }
    const std::int64_t row = in[rank - 1];
    for (;; from += row) {
        std::copy_n(from, row, to + offset);
        std::size_t axis = rank - 1;
        for (;;) {
            if (axis == 0) return;
            --axis;
            offset += strides[axis];
            if (++at[axis] < in[axis]) break;
            offset -= strides[axis] * in[axis];
            at[axis] = 0;
        }
    }
}

void pad(const Call& call) {
    const double value = call.node.real("value");
    if (call.out.dtype == DType::f32) return pad_elements(call, static_cast<float>(value));
    return pad_elements(call, static_cast<std::int8_t>(value > 0 ? 1 : -1));
}

// Only where the bits of the rows move; everything else is the same memory under another shape (plan.cpp).
void reshape(const Call& call) {
    const auto bytes = static_cast<std::size_t>(element_count(*call.out.shape)) * size_of(call.out.dtype);
    if (bytes != 0) std::memcpy(call.out.data, call.in[0].data, bytes);
}

}  // namespace

std::span<const Generic> shape_kinds() {
    static const Generic kinds[] = {
        {"transpose", transpose}, {"concat", concat}, {"slice", slice}, {"pad", pad}, {"reshape", reshape},
    };
    return kinds;
}

}  // namespace onebit
