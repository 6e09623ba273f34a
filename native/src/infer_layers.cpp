// Convolution, linear, pooling and matrix product.
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "infer.hpp"
#include "text.hpp"

namespace onebit {

namespace {

constexpr std::int64_t max_window = 65535;  // the largest kernel, stride, padding and dilation

struct Window {
    std::int64_t kernel, stride, before, after, dilation;
    std::int64_t extent() const { return add(multiply(dilation, kernel - 1), 1); }
};

std::int64_t floor_divide(std::int64_t a, std::int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

// Number of windows along an axis: floor((size + before + after - extent) / stride) + 1.
Dim window_count(const Inference& of, std::string_view axis, const Dim& size, const Window& window) {
    const std::int64_t slack = add(window.before, window.after) - window.extent();
    if (is_constant(size)) {
        if (of.binding != nullptr && size.coefficient == 0 && floor_divide(slack, window.stride) + 1 == 0) {
            return size;  // a symbol that is 0: no windows
        }
        if (add(size.coefficient, slack) < 0) {
            fail("a window of ", window.extent(), " does not fit the ", axis, " ", size.coefficient, " with padding ",
                 window.before, " and ", window.after);
        }
        return constant(add(size.coefficient, slack) / window.stride + 1);
    }
    if (size.coefficient % window.stride != 0 || floor_divide(slack, window.stride) + 1 != 0) {
        fail("the ", axis, " ", of.show(size), " is symbolic, and the number of windows along it is no multiple of it");
    }
    return {size.coefficient / window.stride, size.symbols};
}

// The sum of floor((a * i + b) / m) over 0 <= i < n, all of them at least 0, in as many steps as Euclid's algorithm takes.
std::int64_t floor_sum(std::int64_t n, std::int64_t m, std::int64_t a, std::int64_t b) {
    std::int64_t sum = 0;
    while (n > 0) {
        sum += n * (n - 1) / 2 * (a / m) + n * (b / m);
        a %= m;
        b %= m;
        const std::int64_t last = a * n + b;
        n = last / m;
        b = last % m;
        std::swap(m, a);
        if (m == 0) break;
    }
    return sum;
}

// A window whose taps all lie in the padding has no maximum and no average.
void expect_taps_inside(std::string_view axis, const Dim& size, const Dim& windows, const Window& window) {
    const auto wrong = [&] { fail("a window along the ", axis, " has no tap inside the map"); };
    if (!is_constant(size) || windows.coefficient == 0) return;  // a symbolic size is checked when it is bound
    const std::int64_t last = multiply(windows.coefficient - 1, window.stride) - window.before;
    if (last >= size.coefficient) wrong();
    // The first tap of a window that starts inside is inside. Of one that starts before the map, the first at or after 0 must
    // be there and inside; it stands at the start modulo the dilation, and the sums count the windows where that is outside.
    if (window.before > window.dilation * (window.kernel - 1)) wrong();
    const std::int64_t early = std::min(windows.coefficient, (window.before + window.stride - 1) / window.stride);
    const std::int64_t beyond = window.dilation - size.coefficient;
    if (early <= 0 || beyond <= 0) return;
    const std::int64_t first = (window.dilation - window.before % window.dilation) % window.dilation;
    if (floor_sum(early, window.dilation, window.stride, first + beyond) != floor_sum(early, window.dilation, window.stride, first)) wrong();
}

Window window_of(const Node& node, std::size_t axis, std::int64_t kernel) {
    const auto& padding = node.integers("padding");
    const auto dilation = node.attributes.find("dilation");
    return {kernel, node.integers("stride")[axis], padding[2 * axis], padding[2 * axis + 1],
            dilation == node.attributes.end() ? 1 : std::get<std::vector<std::int64_t>>(dilation->second)[axis]};
}

// The dtype of the sums of products, and that integer sums of `taps` products stay in int32.
DType product_dtype(const Inference& of, std::int64_t taps) {
    const DType x = of.in(0).dtype;
    const DType weight = of.in(1).dtype;
    if (x == DType::f32 && (weight == DType::f32 || weight == DType::bit || weight == DType::ternary)) return DType::f32;
    const bool integer_x = x == DType::bit || x == DType::i8 || x == DType::u8;
    const bool small_weight = weight == DType::bit || weight == DType::ternary;
    if (!integer_x || !(small_weight || weight == DType::i8)) fail("no number system multiplies x ", name(x), " with weight ", name(weight));
    const std::int64_t largest = (x == DType::bit ? 1 : x == DType::i8 ? 128 : 255) * (small_weight ? 1 : 128);
    if (multiply(taps, largest) > std::numeric_limits<std::int32_t>::max()) {
        fail("sums of ", taps, " products of ", name(x), " and ", name(weight), " can leave int32");
    }
    return DType::i32;
}

Type infer_conv(const Inference& of) {
    expect_rank(of, 0, 4);
    expect_rank(of, 1, 4);
    const auto& x = of.in(0).shape;
    const auto& weight = of.in(1).shape;
    const std::int64_t groups = of.node.integer("groups");
    const std::int64_t channels = expect_positive(of, "the number of channels of x", x[3]);
    constexpr std::array<std::string_view, 4> names{"output channels", "kernel rows", "kernel columns", "input channels per group"};
    for (std::size_t i = 0; i < 4; ++i) expect_positive(of, cat("the number of ", names[i], " of weight"), weight[i]);
    if (multiply(weight[3].coefficient, groups) != channels) {
        fail("weight has ", weight[3].coefficient, " input channels per group, x has ", channels, " / ", groups);
    }
    if (weight[0].coefficient % groups != 0) {
        fail("weight has ", weight[0].coefficient, " output channels, which ", groups, " groups do not divide");
    }
    const std::int64_t taps = multiply(multiply(weight[1].coefficient, weight[2].coefficient), weight[3].coefficient);
    const DType dtype = product_dtype(of, taps);
    const bool bits = of.in(0).dtype == DType::bit && of.in(1).dtype == DType::bit;
    if (of.node.integer("pad_value") != 0 && dtype == DType::i32 && !bits) {
        fail("pad_value must be 0 where x is ", name(of.in(0).dtype), " and weight ", name(of.in(1).dtype));
    }
    return {dtype,
            {x[0], window_count(of, "height", x[1], window_of(of.node, 0, weight[1].coefficient)),
             window_count(of, "width", x[2], window_of(of.node, 1, weight[2].coefficient)), weight[0]}};
}

Type infer_linear(const Inference& of) {
    expect_rank(of, 1, 2);
    const auto& weight = of.in(1).shape;
    if (of.in(0).shape.empty()) fail("x must have at least one axis, got ", of.show(0));
    expect_positive(of, "the number of outputs of weight", weight[0]);
    expect_positive(of, "the number of inputs of weight", weight[1]);
    if (of.in(0).shape.back() != weight[1]) {
        fail("weight has ", of.show(weight[1]), " inputs, the last axis of x has ", of.show(of.in(0).shape.back()));
    }
    Type result{product_dtype(of, weight[1].coefficient), of.in(0).shape};
    result.shape.back() = weight[0];
    return result;
}

Type infer_matmul(const Inference& of) {
    for (std::size_t i = 0; i < 2; ++i) {
        expect(of, i, {DType::f32});
        if (of.in(i).shape.size() < 2) fail(of.name(i), " must have at least 2 axes, got ", of.show(i));
    }
    const auto& a = of.in(0).shape;
    const auto& b = of.in(1).shape;
    if (a.back() != b[b.size() - 2]) fail("the inner axes differ: ", of.show(0), " times ", of.show(1));
    const std::array<std::vector<Dim>, 2> leading{std::vector<Dim>(a.begin(), a.end() - 2), std::vector<Dim>(b.begin(), b.end() - 2)};
    Type result{DType::f32, broadcast(of, leading)};
    result.shape.push_back(a[a.size() - 2]);
    result.shape.push_back(b.back());
    return result;
}

Type infer_pool(const Inference& of, bool every_window_needs_a_tap) {
    expect_rank(of, 0, 4);
    const auto& x = of.in(0).shape;
    Type result = of.in(0);
    constexpr std::array<std::string_view, 2> names{"height", "width"};
    for (std::size_t axis = 0; axis < 2; ++axis) {
        const Window window = window_of(of.node, axis, of.node.integers("kernel")[axis]);
        result.shape[axis + 1] = window_count(of, names[axis], x[axis + 1], window);
        if (every_window_needs_a_tap) expect_taps_inside(names[axis], x[axis + 1], result.shape[axis + 1], window);
    }
    return result;
}

Type infer_max_pool(const Inference& of) {
    expect(of, 0, {DType::f32, DType::bit});
    return infer_pool(of, true);
}

Type infer_avg_pool(const Inference& of) {
    expect(of, 0, {DType::f32});
    return infer_pool(of, !of.node.flag("count_include_pad"));
}

AttributeRule pair_of(std::string_view name, std::int64_t low, std::optional<Attribute> standard) {
    return {.name = name, .form = Form::integers, .standard = std::move(standard), .low = low, .high = max_window, .length = 2};
}

AttributeRule padding() {
    return {.name = "padding", .form = Form::integers, .standard = std::vector<std::int64_t>{0, 0, 0, 0}, .low = 0, .high = max_window, .length = 4};
}

}  // namespace

std::span<const KindRule> layer_rules() {
    const std::vector<std::int64_t> ones{1, 1};
    static const std::vector<KindRule> rules{
        {"conv",
         {"x", "weight"},
         {1},
         {pair_of("stride", 1, ones), padding(), pair_of("dilation", 1, ones),
          {.name = "groups", .standard = std::int64_t{1}, .low = 1},
          {.name = "pad_value", .standard = std::int64_t{0}, .low = -1, .high = 1}},
         infer_conv},
        {"linear", {"x", "weight"}, {1}, {}, infer_linear},
        {"matmul", {"a", "b"}, {}, {}, infer_matmul},
        {"max_pool",
         {"x"},
         {},
         {pair_of("kernel", 1, std::nullopt), pair_of("stride", 1, std::nullopt), padding(), pair_of("dilation", 1, ones)},
         infer_max_pool},
        {"avg_pool",
         {"x"},
         {},
         {pair_of("kernel", 1, std::nullopt), pair_of("stride", 1, std::nullopt), padding(),
          {.name = "count_include_pad", .form = Form::flag, .standard = true}},
         infer_avg_pool},
    };
    return rules;
}

}  // namespace onebit
