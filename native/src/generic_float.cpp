// Sums along an axis of float32: matmul, reduce, softmax, layer_norm; and embedding.
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "broadcast.hpp"
#include "elementary.hpp"
#include "generic.hpp"
#include "text.hpp"

namespace onebit {

namespace {

// `Columns` neighbours of one row of a product: their sums stay in registers, each in the order of the rows of `matrix`.
template <int Columns>
void dot(const float* row, std::int64_t inner, const float* matrix, std::int64_t stride, float* out) {
    float sums[Columns] = {};
    for (std::int64_t k = 0; k < inner; ++k)
        for (int c = 0; c < Columns; ++c) sums[c] = sums[c] + row[k] * matrix[k * stride + c];
    for (int c = 0; c < Columns; ++c) out[c] = sums[c];
}

void matmul(const Call& call) {
    const Shape &a = *call.in[0].shape, &b = *call.in[1].shape, &out = *call.out.shape;
    const std::int64_t rows = a[a.size() - 2], inner = a.back(), columns = b.back();
    // the leading axes broadcast as a tensor of matrices
    const auto leading = [](const Shape& shape) { return std::span(shape).first(shape.size() - 2); };
    const float *x = call.in[0].as<const float>(), *y = call.in[1].as<const float>();
    float* z = call.out.as<float>();
    Walk<2>(leading(out), {leading(a), leading(b)}).run([&](std::int64_t at, const auto& offsets, std::int64_t n, const auto& steps) {
        call.threads.divide(n * rows, n * rows * inner * columns, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t item = begin; item < end; ++item) {
                const std::int64_t i = item / rows, r = item % rows;
                const float* row = x + ((offsets[0] + i * steps[0]) * rows + r) * inner;
                const float* matrix = y + (offsets[1] + i * steps[1]) * inner * columns;
                float* result = z + ((at + i) * rows + r) * columns;
                std::int64_t c = 0;
                for (; c + 32 <= columns; c += 32) dot<32>(row, inner, matrix + c, columns, result + c);
                for (; c + 8 <= columns; c += 8) dot<8>(row, inner, matrix + c, columns, result + c);
                for (; c < columns; ++c) dot<1>(row, inner, matrix + c, columns, result + c);
            }
        });
    });
}

// 16 partial results, element i into partial i % 16, then halves onto each other.
template <class Op, class Element>
float fold(std::int64_t n, float start, const Op& op, const Element& element) {
    float partial[16];
    for (float& p : partial) p = start;
    std::int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; ++j) partial[j] = op(partial[j], element(i + j));
    for (int j = 0; i + j < n; ++j) partial[j] = op(partial[j], element(i + j));
    for (int half = 8; half > 0; half /= 2)
        for (int j = 0; j < half; ++j) partial[j] = op(partial[j], partial[j + half]);
    return partial[0];
}

constexpr auto plus = [](float a, float b) { return a + b; };
constexpr float infinity = std::numeric_limits<float>::infinity();

template <class Element>
float sum(std::int64_t n, const Element& element) {
    return fold(n, 0.0f, plus, element);
}

template <class Row>
void rows(const Call& call, const Row& row) {
    const std::int64_t n = rows_of(*call.in[0].shape), channels = channels_of(*call.in[0].shape);
    call.threads.divide(n, n * channels * 4, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) row(r, call.in[0].as<const float>() + r * channels, channels);
    });
}

void reduce(const Call& call) {
    const std::string& op = call.node.text("op");
    float* out = call.out.as<float>();
    const auto each = [&](const auto& function) {
        rows(call, [&](std::int64_t r, const float* x, std::int64_t n) {
            out[r] = function(n, [=](std::int64_t i) { return x[i]; });
        });
    };
    if (op == "sum") return each([](std::int64_t n, const auto& element) { return sum(n, element); });
    if (op == "mean") return each([](std::int64_t n, const auto& element) { return sum(n, element) / static_cast<float>(n); });
    if (op == "max") return each([](std::int64_t n, const auto& element) { return fold(n, -infinity, maximum, element); });
    each([](std::int64_t n, const auto& element) { return fold(n, infinity, minimum, element); });
}

void softmax(const Call& call) {
    rows(call, [&](std::int64_t r, const float* x, std::int64_t n) {
        float* out = call.out.as<float>() + r * n;
        const float m = fold(n, -infinity, maximum, [=](std::int64_t i) { return x[i]; });
        for (std::int64_t i = 0; i < n; ++i) out[i] = exp(x[i] - m);
        const float s = sum(n, [=](std::int64_t i) { return out[i]; });
        for (std::int64_t i = 0; i < n; ++i) out[i] = out[i] / s;
    });
}

void layer_norm(const Call& call) {
    const float *weight = call.in[1].as<const float>(), *bias = call.in[2].as<const float>();
    const auto eps = static_cast<float>(call.node.real("eps"));
    rows(call, [&](std::int64_t r, const float* x, std::int64_t n) {
        float* d = call.out.as<float>() + r * n;
        const float m = sum(n, [=](std::int64_t i) { return x[i]; }) / static_cast<float>(n);
        for (std::int64_t i = 0; i < n; ++i) d[i] = x[i] - m;
        const float v = sum(n, [=](std::int64_t i) { return d[i] * d[i]; }) / static_cast<float>(n);
        const float root = std::sqrt(v + eps);
        for (std::int64_t i = 0; i < n; ++i) d[i] = (d[i] / root) * weight[i] + bias[i];
    });
}

void embedding(const Call& call) {
    const std::int64_t count = (*call.in[0].shape)[0], width = (*call.in[0].shape)[1];
    const std::int64_t n = element_count(*call.in[1].shape);
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t index =
            call.in[1].dtype == DType::i64 ? call.in[1].as<const std::int64_t>()[i] : call.in[1].as<const std::int32_t>()[i];
        if (index < 0 || index >= count)
            throw std::invalid_argument("index must be 0.." + std::to_string(count - 1) + ", got " + std::to_string(index));
        if (width != 0)
            std::memcpy(call.out.as<float>() + i * width, call.in[0].as<const float>() + index * width,
                        static_cast<std::size_t>(width) * 4);
    }
}

}  // namespace

std::span<const Generic> float_kinds() {
    static const Generic kinds[] = {
        {"matmul", matmul}, {"reduce", reduce}, {"softmax", softmax}, {"layer_norm", layer_norm}, {"embedding", embedding},
    };
    return kinds;
}

}  // namespace onebit
