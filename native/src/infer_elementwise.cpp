// Elementwise kinds, number systems, reductions and look-up.
#include <algorithm>
#include <array>

#include "infer.hpp"
#include "text.hpp"

namespace onebit {

namespace {

constexpr std::array<std::size_t, 1> input_1{1};
constexpr std::array<std::size_t, 2> inputs_1_2{1, 2};

std::vector<Dim> broadcast_all(const Inference& of) {
    std::vector<std::vector<Dim>> shapes;
    for (std::size_t i = 0; i < of.inputs.size(); ++i) shapes.push_back(of.in(i).shape);
    return broadcast(of, shapes);
}

Type infer_two(const Inference& of) {
    expect(of, 0, {DType::f32, DType::i32, DType::i64});
    expect_same_dtype(of, 0, 1);
    return {of.in(0).dtype, broadcast_all(of)};
}

Type infer_division(const Inference& of) {
    expect(of, 0, {DType::f32});
    return infer_two(of);
}

Type infer_compare(const Inference& of) {
    expect_same_dtype(of, 0, 1);
    return {DType::boolean, broadcast_all(of)};
}

Type infer_logical(const Inference& of) {
    for (std::size_t i = 0; i < of.inputs.size(); ++i) expect(of, i, {DType::boolean});
    return {DType::boolean, broadcast_all(of)};
}

Type infer_where(const Inference& of) {
    expect(of, 0, {DType::boolean});
    expect_same_dtype(of, 1, 2);
    return {of.in(1).dtype, broadcast_all(of)};
}

Type infer_float(const Inference& of) {
    expect(of, 0, {DType::f32});
    return of.in(0);
}

Type infer_clip(const Inference& of) {
    if (of.node.real("low") > of.node.real("high")) {
        fail("low must not be above high, got ", of.node.real("low"), " and ", of.node.real("high"));
    }
    return infer_float(of);
}

Type infer_affine(const Inference& of) {
    expect(of, 0, {DType::f32, DType::i32});
    expect(of, 1, {DType::f32});
    expect(of, 2, {DType::f32});
    expect_channels(of, inputs_1_2);
    return {DType::f32, of.in(0).shape};
}

Type infer_prelu(const Inference& of) {
    expect(of, 0, {DType::f32});
    expect(of, 1, {DType::f32});
    expect_channels(of, input_1, true);
    return of.in(0);
}

Type infer_sign(const Inference& of) { return {DType::bit, infer_float(of).shape}; }

Type infer_threshold(const Inference& of) {
    expect(of, 0, {DType::i32});
    expect(of, 1, {DType::i32});
    expect(of, 2, {DType::bit});
    expect_channels(of, inputs_1_2);
    return {DType::bit, of.in(0).shape};
}

Type infer_quantize(const Inference& of) {
    expect(of, 0, {DType::f32});
    expect(of, 1, {DType::f32});
    expect_channels(of, input_1, true);
    const DType dtype = *dtype_of(of.node.text("dtype"));
    const std::int64_t least = dtype == DType::i8 ? -128 : 0;
    const std::int64_t low = of.node.integer("low");
    const std::int64_t zero_point = of.node.integer("zero_point");
    const std::int64_t high = of.node.integer("high");
    if (least > low || low > zero_point || zero_point > high || high > least + 255) {
        fail("low <= zero_point <= high must hold within ", least, "..", least + 255, " (", name(dtype), "), got low ", low,
             ", zero_point ", zero_point, ", high ", high);
    }
    return {dtype, of.in(0).shape};
}

// Values keep their meaning; only float32 narrows, by truncation, and everything becomes a truth value.
bool can_cast(DType from, DType to) {
    if (from == to || to == DType::boolean) return true;
    switch (from) {
        case DType::bit:
        case DType::ternary: return to == DType::i8 || to == DType::i32 || to == DType::i64 || to == DType::f32;
        case DType::boolean: return to != DType::bit;
        case DType::i8:
        case DType::u8: return to == DType::i32 || to == DType::i64 || to == DType::f32;
        case DType::i32: return to == DType::i64 || to == DType::f32;
        case DType::i64: return to == DType::f32;
        case DType::f32: return to != DType::bit;
    }
    return false;
}

Type infer_cast(const Inference& of) {
    const DType dtype = *dtype_of(of.node.text("dtype"));
    if (!can_cast(of.in(0).dtype, dtype)) fail(name(of.in(0).dtype), " cannot be cast to ", name(dtype));
    return {dtype, of.in(0).shape};
}

// The last axis of x, which a reduction needs to be there and not empty.
void expect_last_axis(const Inference& of) {
    expect(of, 0, {DType::f32});
    if (of.in(0).shape.empty()) fail("x must have at least one axis, got ", of.show(0));
    if (is(of.in(0).shape.back(), 0)) fail("the last axis of x is empty: ", of.show(0));
}

Type infer_reduce(const Inference& of) {
    expect_last_axis(of);
    Type result = of.in(0);
    if (of.node.flag("keepdims")) {
        result.shape.back() = constant(1);
    } else {
        result.shape.pop_back();
    }
    return result;
}

Type infer_softmax(const Inference& of) {
    expect_last_axis(of);
    return of.in(0);
}

Type infer_layer_norm(const Inference& of) {
    expect_last_axis(of);
    expect(of, 1, {DType::f32});
    expect(of, 2, {DType::f32});
    expect_channels(of, inputs_1_2);
    if (of.node.real("eps") < 0) fail("eps must not be negative, got ", of.node.real("eps"));
    return of.in(0);
}

Type infer_embedding(const Inference& of) {
    expect(of, 0, {DType::f32});
    expect_rank(of, 0, 2);
    expect(of, 1, {DType::i64, DType::i32});
    Type result{DType::f32, of.in(1).shape};
    result.shape.push_back(of.in(0).shape[1]);
    return result;
}

AttributeRule code(std::string_view name, std::int64_t standard) {
    return {.name = name, .standard = standard, .low = -128, .high = 255};
}

}  // namespace

std::span<const KindRule> elementwise_rules() {
    static const std::vector<KindRule> rules = [] {
        std::vector<KindRule> all;
        for (const std::string_view kind : {"add", "sub", "mul", "max", "min"}) {
            all.push_back({kind, {"a", "b"}, {}, {}, infer_two});
        }
        for (const std::string_view kind : {"neg", "abs", "sqrt", "exp", "tanh", "erf", "sigmoid", "relu"}) {
            all.push_back({kind, {"x"}, {}, {}, infer_float});
        }
        for (const std::string_view kind : {"logical_and", "logical_or"}) {
            all.push_back({kind, {"a", "b"}, {}, {}, infer_logical});
        }
        all.push_back({"div", {"a", "b"}, {}, {}, infer_division});
        all.push_back({"logical_not", {"x"}, {}, {}, infer_logical});
        all.push_back({"where", {"condition", "a", "b"}, {}, {}, infer_where});
        all.push_back({"compare", {"a", "b"}, {},
                       {{.name = "op", .form = Form::text, .choices = {"eq", "ne", "lt", "le", "gt", "ge"}}}, infer_compare});
        all.push_back({"clip", {"x"}, {}, {{.name = "low", .form = Form::real}, {.name = "high", .form = Form::real}}, infer_clip});
        all.push_back({"affine", {"x", "scale", "shift"}, {1, 2}, {}, infer_affine});
        all.push_back({"prelu", {"x", "slope"}, {1}, {}, infer_prelu});
        all.push_back({"sign", {"x"}, {}, {}, infer_sign});
        all.push_back({"threshold", {"x", "limit", "sense"}, {1, 2}, {}, infer_threshold});
        all.push_back({"quantize", {"x", "scale"}, {1},
                       {code("zero_point", 0), code("low", -127), code("high", 127),
                        {.name = "dtype", .form = Form::text, .standard = std::string("int8"), .choices = {"int8", "uint8"}}},
                       infer_quantize});
        all.push_back({"cast", {"x"}, {},
                       {{.name = "dtype", .form = Form::text,
                         .choices = {"float32", "int8", "uint8", "int32", "int64", "bool", "bit"}}},
                       infer_cast});
        all.push_back({"reduce", {"x"}, {},
                       {{.name = "op", .form = Form::text, .choices = {"sum", "mean", "max", "min"}},
                        {.name = "keepdims", .form = Form::flag, .standard = false}},
                       infer_reduce});
        all.push_back({"softmax", {"x"}, {}, {}, infer_softmax});
        all.push_back({"layer_norm", {"x", "weight", "bias"}, {1, 2}, {{.name = "eps", .form = Form::real}}, infer_layer_norm});
        all.push_back({"embedding", {"weight", "index"}, {0}, {}, infer_embedding});
        return all;
    }();
    return rules;
}

}  // namespace onebit
