// What every kind allows and what comes out of it: docs/kinds.md as a table with one entry a kind.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dims.hpp"
#include "graph.hpp"
#include "json.hpp"

namespace onebit {

struct KindRule;

// A node whose types are being inferred. Dimensions may be symbolic (loading) or integers (binding the shapes of a run).
struct Inference {
    const Node& node;
    std::vector<const Type*> inputs;
    std::vector<const Constant*> constants;   // null where the input is computed, or is a state
    const std::vector<std::string>& symbols;  // for messages
    const Binding* binding = nullptr;         // the sizes of the symbols, when binding
    const KindRule* rule = nullptr;           // set by infer()

    const Type& in(std::size_t i) const { return *inputs[i]; }
    std::string_view name(std::size_t i) const;  // what the kind calls this input
    std::string show(std::size_t i) const;       // "float32 (batch, 28, 28, 1)"
    std::string show(const Dim& dim) const { return text(dim, symbols); }
};

enum class Form { integer, real, flag, text, integers, integer_lists, dims };

struct AttributeRule {
    std::string_view name;
    Form form = Form::integer;
    std::optional<Attribute> standard = std::nullopt;  // none: required
    std::int64_t low = 0;                              // of every integer in it
    std::int64_t high = 0x7FFFFFFF;
    std::size_t length = 0;                         // of `integers`; 0: any up to the largest rank
    std::vector<std::string_view> choices = {};     // of `text`
    bool nullable = false;                          // null stands for the default
};

struct KindRule {
    std::string_view name;
    std::vector<std::string_view> inputs;     // a last name ending in ... stands for any number more
    std::vector<std::size_t> constants = {};  // positions that must hold constants of the graph
    std::vector<AttributeRule> attributes = {};
    Type (*infer)(const Inference&) = nullptr;
};

// std::invalid_argument for a kind that is unknown or that the engine does not have.
const KindRule& find_kind(std::string_view name);

// The attributes of a node, complete and checked; `given` is null where the file has none.
void read_attributes(const KindRule& rule, const json::Value* given, std::vector<std::string>& symbols, Node& node);

// Number of inputs, constants where they must be, then the kind's own rule.
Type infer(const KindRule& rule, Inference inference);

// Helpers that the rules share (infer.cpp).
void expect(const Inference& of, std::size_t input, std::initializer_list<DType> allowed);
void expect_rank(const Inference& of, std::size_t input, std::size_t rank);
void expect_same_dtype(const Inference& of, std::size_t a, std::size_t b);
// The last axis of input 0; every `vector` must have exactly that many entries (or one, where `scalar`).
Dim expect_channels(const Inference& of, std::span<const std::size_t> vectors, bool scalar = false);
std::int64_t expect_positive(const Inference& of, std::string_view what, const Dim& dim);
std::vector<Dim> broadcast(const Inference& of, std::span<const std::vector<Dim>> shapes);

// The rules, by family.
std::span<const KindRule> layer_rules();        // infer_layers.cpp
std::span<const KindRule> elementwise_rules();  // infer_elementwise.cpp
std::span<const KindRule> shape_rules();        // infer_shape.cpp

}  // namespace onebit
