#include "program.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <string_view>

namespace onebit {

namespace {

using kernel::Element;
using kernel::Op;
using kernel::Operand;
using kernel::Step;

const std::map<std::string_view, Op> binaries{{"add", Op::add},      {"sub", Op::subtract}, {"mul", Op::multiply},
                                              {"div", Op::divide},   {"max", Op::maximum},  {"min", Op::minimum}};
const std::map<std::string_view, Op> unaries{{"relu", Op::relu},     {"clip", Op::clip}, {"neg", Op::negate},
                                             {"abs", Op::absolute}, {"sqrt", Op::square_root}};
// The kernel reads per-channel vectors up to the width of a tile beyond the last channel.
constexpr std::int64_t slack = 64;

const Value& value_of(const Graph& graph, int value) { return graph.values[static_cast<std::size_t>(value)]; }
DType dtype_of(const Graph& graph, int value) { return value_of(graph, value).type.dtype; }

bool is_constant_value(const Graph& graph, int value) {
    return value_of(graph, value).constant >= 0 && !value_of(graph, value).is_state;
}

// A constant scalar, or a constant vector along the last axis of `shape`.
bool is_vector(const Graph& graph, std::span<const Shape> shapes, int value, const Shape& shape) {
    if (!is_constant_value(graph, value)) return false;
    const Shape& own = shapes[static_cast<std::size_t>(value)];
    if (own.size() > shape.size()) return false;
    const std::int64_t n = element_count(own);
    return n == 1 || (n == channels_of(shape) && channels_of(own) == n);
}

Element element_of(DType dtype) {
    switch (dtype) {
        case DType::i32: return Element::int32;
        case DType::i8: return Element::int8;
        case DType::u8: return Element::uint8;
        case DType::bit: return Element::bit;
        default: return Element::float32;
    }
}

// Steps that leave the current value alone and store something made of it.
bool is_terminal(std::string_view kind) { return kind == "sign" || kind == "threshold" || kind == "quantize"; }

}  // namespace

bool is_pointwise(const Graph& graph, std::span<const Shape> shapes, const Node& node) {
    const Shape& out = shapes[static_cast<std::size_t>(node.outputs[0])];
    const auto full = [&](int value) { return shapes[static_cast<std::size_t>(value)] == out; };
    const DType x = dtype_of(graph, node.inputs[0]);
    if (binaries.contains(node.kind)) {
        const int a = node.inputs[0], b = node.inputs[1];
        if (x != DType::f32 && x != DType::i32) return false;
        return (full(a) && (full(b) || is_vector(graph, shapes, b, out))) || (full(b) && is_vector(graph, shapes, a, out));
    }
    if (node.kind == "cast") {
        const DType to = dtype_of(graph, node.outputs[0]);
        if (to == DType::f32) return x == DType::i32 || x == DType::i8 || x == DType::u8 || x == DType::bit;
        return to == DType::i32 && (x == DType::i8 || x == DType::u8 || x == DType::bit);
    }
    return unaries.contains(node.kind) || is_terminal(node.kind) || node.kind == "affine" || node.kind == "prelu";
}

bool Program::is_integer(int value) const { return dtype_of(graph_, value) != DType::f32; }

Program::Program(const Graph& graph, std::span<const Shape> shapes, std::int64_t channels, int producer,
                 std::span<const Node* const> nodes, const std::function<bool(int)>& escapes)
    : graph_(graph), shapes_(shapes), channels_(channels) {
    if (producer >= 0) shape_ = &shapes[static_cast<std::size_t>(producer)];
    if (!nodes.empty()) shape_ = &shapes[static_cast<std::size_t>(nodes[0]->outputs[0])];

    // Which values made here are also read here from memory, because they are not the current value at that time?
    // Sets, not tables over all values: a graph may be many small programs.
    std::unordered_set<int> made, in_memory;
    const auto mark = [&](int value) {
        if (made.contains(value)) in_memory.insert(value);
    };
    int current = producer;
    if (producer >= 0) made.insert(producer);
    for (const Node* node : nodes) {
        const bool two = binaries.contains(node->kind);
        const int a = node->inputs[0], b = two ? node->inputs[1] : -1;
        int main = a;
        if (two && (b == current || !is_full(a)) && a != current) main = b;
        if (main != current) mark(main);
        if (two) mark(main == a ? b : a);
        made.insert(node->outputs[0]);
        current = is_terminal(node->kind) ? main : node->outputs[0];
    }
    const auto needed = [&](int value) { return in_memory.contains(value) || escapes(value); };

    current = producer;
    if (producer >= 0 && needed(producer)) add_store(producer);
    for (const Node* node : nodes) {
        add_node(*node, current);
        if (!is_terminal(node->kind) && needed(node->outputs[0])) add_store(node->outputs[0]);
    }
    std::sort(reads_.begin(), reads_.end());
    reads_.erase(std::unique(reads_.begin(), reads_.end()), reads_.end());
}

void Program::add(Step step, Link link) {
    steps_.push_back(step);
    links_.push_back(link);
    if (link.first >= 0 && !stored_.contains(link.first)) reads_.push_back(link.first);
    if (link.out >= 0) {
        writes_.push_back(link.out);
        stored_.insert(link.out);
    }
    const auto bytes = static_cast<std::size_t>(channels_ + 2 * slack) * 4;
    if (link.first_constant >= 0) table_bytes_ += bytes;
    if (link.second_constant >= 0) table_bytes_ += bytes;
}

void Program::add_load(int value) {
    add({.op = Op::load, .element = element_of(dtype_of(graph_, value))}, {.first = value});
}

void Program::add_store(int value) {
    add({.op = Op::store, .element = element_of(dtype_of(graph_, value))}, {.out = value});
}

void Program::add_node(const Node& node, int& current) {
    const bool two = binaries.contains(node.kind);
    const int a = node.inputs[0], b = two ? node.inputs[1] : -1, out = node.outputs[0];
    int main = a;
    if (two && (b == current || !is_full(a)) && a != current) main = b;
    if (main != current) add_load(main);
    const bool integer = is_integer(main);
    const auto operand_of = [&](int value) {
        return element_count(shapes_[static_cast<std::size_t>(value)]) == 1 && channels_ != 1 ? Operand::scalar : Operand::channels;
    };
    current = is_terminal(node.kind) ? main : out;

    if (two) {
        const int other = main == a ? b : a;
        Step step{.op = binaries.at(node.kind), .integer = integer, .reversed = main != a};
        if (is_full(other)) {
            step.operand = Operand::tensor;
            add(step, {.first = other});
        } else {
            step.operand = operand_of(other);
            add(step, {.first_constant = other});
        }
    } else if (node.kind == "affine") {
        add({.op = Op::affine, .integer = integer}, {.first_constant = node.inputs[1], .second_constant = node.inputs[2]});
    } else if (node.kind == "prelu") {
        add({.op = Op::prelu, .operand = operand_of(node.inputs[1])}, {.first_constant = node.inputs[1]});
    } else if (node.kind == "cast") {
        if (dtype_of(graph_, out) == DType::f32) add({.op = Op::to_float}, {});
    } else if (node.kind == "sign") {
        add({.op = Op::sign, .element = Element::bit}, {.out = out});
    } else if (node.kind == "threshold") {
        add({.op = Op::threshold, .element = Element::bit, .integer = true},
            {.out = out, .first_constant = node.inputs[1], .second_constant = node.inputs[2]});
    } else if (node.kind == "quantize") {
        add({.op = Op::quantize,
             .operand = operand_of(node.inputs[1]),
             .element = element_of(dtype_of(graph_, out)),
             .low = static_cast<float>(node.integer("low")),
             .high = static_cast<float>(node.integer("high")),
             .zero_point = static_cast<std::int32_t>(node.integer("zero_point"))},
            {.out = out, .first_constant = node.inputs[1]});
    } else {
        Step step{.op = unaries.at(node.kind)};
        if (node.kind == "clip") {
            step.low = static_cast<float>(node.real("low"));
            step.high = static_cast<float>(node.real("high"));
        }
        add(step, {});
    }
}

bool Program::knows_no_channel() const {
    return std::none_of(steps_.begin(), steps_.end(), [](const Step& step) {
        return step.operand == Operand::channels || step.element == Element::bit || step.op == Op::affine;
    });
}

std::vector<std::pair<int, int>> Program::in_place() const {
    std::vector<std::pair<int, int>> pairs;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
        const int from = links_[i].first;
        if (from < 0 || std::count_if(links_.begin(), links_.end(), [&](const Link& link) { return link.first == from; }) != 1) continue;
        for (std::size_t j = i + 1; j < steps_.size(); ++j)
            if (steps_[j].op == Op::store && dtype_of(graph_, links_[j].out) == dtype_of(graph_, from)) pairs.emplace_back(from, links_[j].out);
    }
    return pairs;
}

// A constant as a vector with room behind it: float32 or int32 as they are, bits as masks (0 for +1, all ones for -1).
const float* Program::vector_of(int value) {
    const Constant& constant = graph_.constants[static_cast<std::size_t>(value_of(graph_, value).constant)];
    const auto bytes = static_cast<std::size_t>(channels_ + 2 * slack) * 4;
    Buffer& buffer = vectors_.emplace_back(allocate(bytes));
    std::memset(buffer.get(), 0, bytes);
    if (constant.dtype == DType::bit) {
        auto* masks = reinterpret_cast<std::int32_t*>(buffer.get());
        for (std::int64_t i = 0; i < channels_; ++i) masks[i] = constant_bit(constant, i) ? 0 : -1;
    } else {
        std::memcpy(buffer.get(), constant.data, constant.bytes);
    }
    return reinterpret_cast<const float*>(buffer.get());
}

void Program::build() {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
        Step& step = steps_[i];
        if (links_[i].first_constant >= 0) step.first = vector_of(links_[i].first_constant);
        if (links_[i].second_constant >= 0) step.second = vector_of(links_[i].second_constant);
        if (step.op == Op::threshold) {
            auto* limit = static_cast<std::int32_t*>(const_cast<void*>(step.first));
            const auto* mask = static_cast<const std::int32_t*>(step.second);
            for (std::int64_t c = 0; c < channels_; ++c) limit[c] ^= mask[c];
        }
    }
}

kernel::Program Program::bind(const Workspace& workspace) {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
        if (links_[i].first >= 0) steps_[i].first = workspace.at<const void>(links_[i].first);
        if (links_[i].out >= 0) steps_[i].out = workspace.at<void>(links_[i].out);
    }
    return {steps_.data(), static_cast<int>(steps_.size()), channels_};
}

}  // namespace onebit
