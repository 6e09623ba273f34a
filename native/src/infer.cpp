#include "infer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "text.hpp"

namespace onebit {

namespace {

std::int64_t read_integer(const AttributeRule& rule, const json::Value& value) {
    if (!value.is(json::Kind::integer) || value.integer() < rule.low || value.integer() > rule.high) {
        fail("attribute ", rule.name, " must hold integers in ", rule.low, "..", rule.high);
    }
    return value.integer();
}

std::vector<json::Value> read_list(const AttributeRule& rule, const json::Value& value) {
    if (!value.is(json::Kind::array)) fail("attribute ", rule.name, " must be a list");
    const std::size_t most = rule.length != 0 ? rule.length : max_rank;
    if (value.size() > most || (rule.length != 0 && value.size() != rule.length)) {
        fail("attribute ", rule.name, " must have ", rule.length != 0 ? "" : "at most ", most, " entries, got ", value.size());
    }
    return value.items();
}

std::vector<std::int64_t> read_integers(const AttributeRule& rule, const json::Value& value) {
    std::vector<std::int64_t> integers;
    for (const json::Value& item : read_list(rule, value)) integers.push_back(read_integer(rule, item));
    return integers;
}

Attribute read_attribute(const AttributeRule& rule, const json::Value& value, std::vector<std::string>& symbols) {
    switch (rule.form) {
        case Form::integer: return read_integer(rule, value);
        case Form::real: {
            if (!value.is_number() || std::abs(value.number()) > static_cast<double>(std::numeric_limits<float>::max())) {
                fail("attribute ", rule.name, " must be a float32 number");
            }
            return static_cast<double>(static_cast<float>(value.number()));
        }
        case Form::flag:
            if (!value.is(json::Kind::boolean)) fail("attribute ", rule.name, " must be true or false");
            return value.boolean();
        case Form::text: {
            if (value.is(json::Kind::string)) {
                const auto found = std::find(rule.choices.begin(), rule.choices.end(), value.string());
                if (found != rule.choices.end()) return std::string(*found);
            }
            std::string allowed;
            for (const std::string_view choice : rule.choices) allowed += cat(allowed.empty() ? "" : ", ", choice);
            fail("attribute ", rule.name, " must be one of ", allowed);
        }
        case Form::integers: return read_integers(rule, value);
        case Form::integer_lists: {
            AttributeRule inner = rule;
            inner.length = 2;
            std::vector<std::vector<std::int64_t>> lists;
            for (const json::Value& item : read_list(rule, value)) lists.push_back(read_integers(inner, item));
            return lists;
        }
        case Form::dims: break;
    }
    std::vector<Dim> dims;
    for (const json::Value& item : read_list(rule, value)) {
        dims.push_back(item.is(json::Kind::string) ? parse_dim(item.string(), symbols, false) : constant(read_integer(rule, item)));
    }
    return dims;
}

const std::map<std::string_view, const KindRule*>& kinds() {
    static const auto table = [] {
        std::map<std::string_view, const KindRule*> all;
        for (const auto rules : {layer_rules(), elementwise_rules(), shape_rules()}) {
            for (const KindRule& rule : rules) all.emplace(rule.name, &rule);
        }
        return all;
    }();
    return table;
}

}  // namespace

std::string_view Inference::name(std::size_t i) const { return rule->inputs[std::min(i, rule->inputs.size() - 1)]; }

std::string Inference::show(std::size_t i) const { return cat(onebit::name(in(i).dtype), " ", text(in(i).shape, symbols)); }

const KindRule& find_kind(std::string_view name) {
    if (name == "batch_norm") fail("the engine has no batch_norm: fold it before packing");
    const auto found = kinds().find(name);
    if (found == kinds().end()) fail("unknown kind ", quoted(name));
    return *found->second;
}

void read_attributes(const KindRule& rule, const json::Value* given, std::vector<std::string>& symbols, Node& node) {
    if (given != nullptr) {
        for (const auto& [name, value] : given->members()) {
            const auto found = std::find_if(rule.attributes.begin(), rule.attributes.end(),
                                            [&, key = name](const AttributeRule& attribute) { return attribute.name == key; });
            if (found == rule.attributes.end()) fail("unknown attribute ", quoted(name));
            if (found->nullable && value.is(json::Kind::null)) continue;
            node.attributes.emplace(found->name, read_attribute(*found, value, symbols));
        }
    }
    for (const AttributeRule& attribute : rule.attributes) {
        if (node.attributes.contains(attribute.name)) continue;
        if (!attribute.standard) fail("attribute ", attribute.name, " is required");
        node.attributes.emplace(attribute.name, *attribute.standard);
    }
}

Type infer(const KindRule& rule, Inference of) {
    of.rule = &rule;
    const bool open = rule.inputs.back().ends_with("...");
    const std::size_t least = open ? rule.inputs.size() - 1 : rule.inputs.size();
    if (of.inputs.size() < least || (!open && of.inputs.size() > least)) {
        fail("needs ", open ? "at least " : "", least, " inputs, got ", of.inputs.size());
    }
    for (const std::size_t position : rule.constants) {
        if (of.constants[position] == nullptr) fail(rule.inputs[position], " must be a constant of the graph");
    }
    Type result = rule.infer(of);
    if (result.shape.size() > max_rank) fail("its result has ", result.shape.size(), " axes, at most ", max_rank, " are allowed");
    std::int64_t bytes = static_cast<std::int64_t>(element_bytes(result.dtype));
    for (const Dim& dim : result.shape) {
        if (dim.coefficient > max_size) fail("a dimension of its result is ", of.show(dim), ", at most 2^48 is allowed");
        if (dim.coefficient != 0) bytes = multiply(bytes, dim.coefficient);
    }
    return result;
}

void expect(const Inference& of, std::size_t input, std::initializer_list<DType> allowed) {
    if (std::find(allowed.begin(), allowed.end(), of.in(input).dtype) != allowed.end()) return;
    std::string names;
    for (const DType dtype : allowed) names += cat(names.empty() ? "" : " or ", name(dtype));
    fail(of.name(input), " must be ", names, ", got ", of.show(input));
}

void expect_rank(const Inference& of, std::size_t input, std::size_t rank) {
    if (of.in(input).shape.size() != rank) fail(of.name(input), " must have ", rank, " axes, got ", of.show(input));
}

void expect_same_dtype(const Inference& of, std::size_t a, std::size_t b) {
    if (of.in(a).dtype != of.in(b).dtype) {
        fail(of.name(a), " and ", of.name(b), " must have one dtype, got ", of.show(a), " and ", of.show(b));
    }
}

Dim expect_channels(const Inference& of, std::span<const std::size_t> vectors, bool scalar) {
    if (of.in(0).shape.empty()) fail("x must have an axis of channels, got ", of.show(0));
    const Dim channels = of.in(0).shape.back();
    for (const std::size_t i : vectors) {
        const std::vector<Dim>& shape = of.in(i).shape;
        if (shape.size() == 1 && (shape[0] == channels || (scalar && is(shape[0], 1)))) continue;
        fail(of.name(i), " must have shape (", of.show(channels), ")", scalar ? " or (1)" : "", ", one entry a channel of x, got ",
             of.show(i));
    }
    return channels;
}

std::int64_t expect_positive(const Inference& of, std::string_view what, const Dim& dim) {
    if (!is_constant(dim) || dim.coefficient < 1) fail(what, " must be an integer above 0, got ", of.show(dim));
    return dim.coefficient;
}

std::vector<Dim> broadcast(const Inference& of, std::span<const std::vector<Dim>> shapes) {
    std::size_t rank = 0;
    for (const auto& shape : shapes) rank = std::max(rank, shape.size());
    std::vector<Dim> result(rank, constant(1));
    for (const auto& shape : shapes) {
        for (std::size_t i = 0; i < shape.size(); ++i) {
            Dim& out = result[rank - shape.size() + i];
            if (is(shape[i], 1) || shape[i] == out) continue;
            if (!is(out, 1)) {
                std::string all;
                for (const auto& each : shapes) all += cat(all.empty() ? "" : " and ", text(each, of.symbols));
                fail("shapes ", all, " cannot be broadcast together");
            }
            out = shape[i];
        }
    }
    return result;
}

}  // namespace onebit
