// Kinds that move values and compute none.
#include <algorithm>
#include <array>
#include <limits>

#include "infer.hpp"
#include "text.hpp"

namespace onebit {

namespace {

// An attribute that holds dimensions; integers when the symbols are bound.
std::vector<Dim> target_shape(const Inference& of) {
    std::vector<Dim> shape = std::get<std::vector<Dim>>(of.node.attributes.find("shape")->second);
    if (of.binding != nullptr) {
        for (Dim& dim : shape) dim = constant(evaluate(dim, *of.binding));
    }
    return shape;
}

std::size_t axis_of(const Inference& of) {
    const std::int64_t axis = of.node.integer("axis");
    const std::size_t rank = of.in(0).shape.size();
    if (static_cast<std::size_t>(axis) >= rank) fail("axis must be below the ", rank, " axes of ", of.show(0), ", got ", axis);
    return static_cast<std::size_t>(axis);
}

Type infer_reshape(const Inference& of) {
    Type result{of.in(0).dtype, target_shape(of)};
    if (product(result.shape) != product(of.in(0).shape)) {
        fail("x of shape ", text(of.in(0).shape, of.symbols), " cannot take the shape ", text(result.shape, of.symbols));
    }
    return result;
}

Type infer_broadcast_to(const Inference& of) {
    Type result{of.in(0).dtype, target_shape(of)};
    const std::array<std::vector<Dim>, 2> both{of.in(0).shape, result.shape};
    if (broadcast(of, both) != result.shape) {
        fail("x of shape ", text(of.in(0).shape, of.symbols), " cannot be broadcast to ", text(result.shape, of.symbols));
    }
    return result;
}

Type infer_transpose(const Inference& of) {
    const auto& perm = of.node.integers("perm");
    std::vector<std::int64_t> sorted = perm;
    std::sort(sorted.begin(), sorted.end());
    bool right = perm.size() == of.in(0).shape.size();
    for (std::size_t i = 0; right && i < sorted.size(); ++i) right = sorted[i] == static_cast<std::int64_t>(i);
    if (!right) fail("perm must be a permutation of the axes of ", of.show(0), ", got ", text(perm));
    Type result{of.in(0).dtype, {}};
    for (const std::int64_t axis : perm) result.shape.push_back(of.in(0).shape[static_cast<std::size_t>(axis)]);
    return result;
}

Type infer_concat(const Inference& of) {
    const std::size_t axis = axis_of(of);
    Type result = of.in(0);
    for (std::size_t i = 1; i < of.inputs.size(); ++i) {
        expect_same_dtype(of, 0, i);
        const auto& shape = of.in(i).shape;
        bool fits = shape.size() == result.shape.size();
        for (std::size_t j = 0; fits && j < shape.size(); ++j) fits = j == axis || shape[j] == result.shape[j];
        if (!fits) fail("inputs 0 and ", i, " must agree in every axis but ", axis, ", got ", of.show(0), " and ", of.show(i));
        const std::optional<Dim> length = sum(result.shape[axis], shape[axis]);
        if (!length) {
            fail("axis ", axis, " would be ", of.show(result.shape[axis]), " + ", of.show(shape[axis]), ", which is no dimension");
        }
        result.shape[axis] = *length;
    }
    return result;
}

Type infer_slice(const Inference& of) {
    const std::size_t axis = axis_of(of);
    const std::int64_t start = of.node.integer("start");
    const std::int64_t stop = of.node.integer("stop");
    const std::int64_t step = of.node.integer("step");
    const bool to_the_end = stop == std::numeric_limits<std::int64_t>::max();
    Type result = of.in(0);
    Dim& size = result.shape[axis];
    if (!is_constant(size)) {
        if (start != 0 || !to_the_end || size.coefficient % step != 0) {
            fail("axis ", axis, " of ", of.show(0), " is symbolic: only whole multiples of its steps can be taken");
        }
        size.coefficient /= step;
        return result;
    }
    const std::int64_t end = to_the_end ? size.coefficient : stop;
    if (end > size.coefficient || start > end) {
        fail("0 <= start <= stop <= ", size.coefficient, " must hold, got start ", start, " and stop ", end);
    }
    size = constant((end - start) / step + ((end - start) % step != 0));
    return result;
}

Type infer_pad(const Inference& of) {
    expect(of, 0, {DType::f32, DType::bit});
    const auto& pads = std::get<std::vector<std::vector<std::int64_t>>>(of.node.attributes.find("pads")->second);
    Type result = of.in(0);
    if (pads.size() != result.shape.size()) {
        fail("pads must have [before, after] for each axis of ", of.show(0), ", got ", pads.size(), " pairs");
    }
    const double value = of.node.real("value");
    if (result.dtype == DType::bit && value != 1.0 && value != -1.0) fail("value must be -1 or 1 where x is bit, got ", value);
    for (std::size_t axis = 0; axis < pads.size(); ++axis) {
        const std::optional<Dim> size = sum(result.shape[axis], constant(add(pads[axis][0], pads[axis][1])));
        if (!size) fail("axis ", axis, " of ", of.show(0), " is symbolic and cannot be padded");
        result.shape[axis] = *size;
    }
    return result;
}

AttributeRule shape_attribute() { return {.name = "shape", .form = Form::dims, .high = max_size}; }
AttributeRule axis_attribute() { return {.name = "axis", .high = static_cast<std::int64_t>(max_rank) - 1}; }

}  // namespace

std::span<const KindRule> shape_rules() {
    static const std::vector<KindRule> rules{
        {"reshape", {"x"}, {}, {shape_attribute()}, infer_reshape},
        {"transpose", {"x"}, {}, {{.name = "perm", .form = Form::integers}}, infer_transpose},
        {"concat", {"a", "b", "..."}, {}, {axis_attribute()}, infer_concat},
        {"slice",
         {"x"},
         {},
         {axis_attribute(),
          {.name = "start", .standard = std::int64_t{0}},
          {.name = "stop", .standard = std::numeric_limits<std::int64_t>::max(), .nullable = true},
          {.name = "step", .standard = std::int64_t{1}, .low = 1}},
         infer_slice},
        {"pad", {"x"}, {}, {{.name = "pads", .form = Form::integer_lists}, {.name = "value", .form = Form::real}}, infer_pad},
        {"broadcast_to", {"x"}, {}, {shape_attribute()}, infer_broadcast_to},
    };
    return rules;
}

}  // namespace onebit
