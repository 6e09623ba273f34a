#include "plan.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

#include "depthwise.hpp"
#include "plain.hpp"
#include "pointwise.hpp"
#include "product.hpp"
#include "program.hpp"

namespace onebit {

namespace {

// Nodes that run as one operation: a product or a pointwise node and the pointwise nodes that follow it.
struct Group {
    const Node* producer = nullptr;  // conv or linear
    std::size_t producer_index = 0;
    std::vector<const Node*> nodes = {};
    const Node* other = nullptr;  // a generic kind, alone
    Shape shape;
    bool open = false;
};

// Whether the memory of x under the other shape is the reshaped tensor.
bool same_memory(DType dtype, const Shape& from, const Shape& to) {
    if (dtype != DType::bit) return true;
    const std::int64_t a = channels_of(from), b = channels_of(to);
    return a == b || (a % 32 == 0 && b % 32 == 0);
}

}  // namespace

Weights& Shared::weights_of(std::size_t index) {
    if (!weights[index]) {
        const Node& node = graph.nodes[index];
        const Constant& constant =
            graph.constants[static_cast<std::size_t>(graph.values[static_cast<std::size_t>(node.inputs[1])].constant)];
        weights[index] = std::make_unique<Weights>(constant, graph.values[static_cast<std::size_t>(node.inputs[0])].type.dtype, node,
                                                   table);
    }
    return *weights[index];
}

LowbitWeights& Shared::lowbit_of(std::size_t index) {
    std::unique_ptr<LowbitWeights>& found = lowbit[index];
    if (!found) {
        const Value& weight = graph.values[static_cast<std::size_t>(graph.nodes[index].inputs[1])];
        found = std::make_unique<LowbitWeights>(graph.constants[static_cast<std::size_t>(weight.constant)], table);
    }
    return *found;
}

Plan::Plan(Shared& shared, std::span<const Shape> inputs)
    : shared_(shared), input_shapes_(inputs.begin(), inputs.end()), shapes_(bind_shapes(shared.graph, inputs)), values_(shared.values) {
    make_operations();
    place();
    check_memory(bytes_);
}

void Plan::check_memory(std::size_t bytes) const {
    if (shared_.max_memory && bytes > *shared_.max_memory)
        throw MemoryLimit("a run with these input shapes needs " + std::to_string(bytes) + " bytes of memory, max_memory allows " +
                          std::to_string(*shared_.max_memory));
}

bool Plan::fits(std::span<const Shape> inputs) const {
    return std::equal(inputs.begin(), inputs.end(), input_shapes_.begin(), input_shapes_.end());
}

void Plan::make_operations() {
    const Graph& graph = shared_.graph;
    roots_.resize(graph.values.size());
    for (std::size_t i = 0; i < roots_.size(); ++i) roots_[i] = static_cast<int>(i);

    std::vector<Group> groups;
    std::vector<int> made_by(graph.values.size(), -1);
    for (std::size_t index = 0; index < graph.nodes.size(); ++index) {
        const Node& node = graph.nodes[index];
        const Shape& out = shape(node.outputs[0]);
        int latest = -1;
        for (const int input : node.inputs) latest = std::max(latest, made_by[static_cast<std::size_t>(input)]);

        if (node.kind == "conv" || node.kind == "linear") {
            Group group{.producer = &node, .producer_index = index, .shape = out};
            const std::int64_t count = node.kind == "conv" ? node.integer("groups") : 1;
            group.open = count == 1 || Depthwise::fits(graph, node) || channels_of(out) / count % 32 == 0;  // else a word of bits would have two writers
            groups.push_back(std::move(group));
        } else if (is_pointwise(graph, shapes_, node)) {
            // Another operand may come from any group that runs before: those with a smaller number.
            const bool joins = latest >= 0 && groups[static_cast<std::size_t>(latest)].open && groups[static_cast<std::size_t>(latest)].shape == out;
            if (joins) {
                groups[static_cast<std::size_t>(latest)].nodes.push_back(&node);
                made_by[static_cast<std::size_t>(node.outputs[0])] = latest;
                continue;
            }
            groups.push_back({.nodes = {&node}, .shape = out, .open = true});
        } else {
            groups.push_back({.other = &node, .shape = out});
            if (node.kind == "reshape" && same_memory(dtype(node.inputs[0]), shape(node.inputs[0]), out))
                roots_[static_cast<std::size_t>(node.outputs[0])] = roots_[static_cast<std::size_t>(node.inputs[0])];
        }
        made_by[static_cast<std::size_t>(node.outputs[0])] = static_cast<int>(groups.size()) - 1;
    }

    // Values that something outside their group reads.
    std::vector<bool> escapes(graph.values.size());
    for (const int output : graph.outputs) escapes[static_cast<std::size_t>(output)] = true;
    for (const State& state : graph.states) escapes[static_cast<std::size_t>(state.replacement)] = true;
    for (const Node& node : graph.nodes)
        for (const int input : node.inputs)
            if (made_by[static_cast<std::size_t>(input)] != made_by[static_cast<std::size_t>(node.outputs[0])])
                escapes[static_cast<std::size_t>(input)] = true;

    for (const Group& group : groups) {
        std::unique_ptr<Operation> operation;
        const auto program = [&](int producer) {
            return Program(graph, shapes_, channels_of(group.shape), producer, group.nodes,
                           [&](int value) { return escapes[static_cast<std::size_t>(value)]; });
        };
        if (group.producer != nullptr && Lowbit::fits(graph, shapes_, *group.producer, shared_.table)) {
            operation = std::make_unique<Lowbit>(graph, shapes_, *group.producer, shared_.lowbit_of(group.producer_index),
                                                 program(group.producer->outputs[0]));
        } else if (group.producer != nullptr && Depthwise::fits(graph, *group.producer)) {
            check_memory(window_table_bytes(graph, shapes_, *group.producer));
            operation = std::make_unique<Depthwise>(graph, shapes_, *group.producer, program(group.producer->outputs[0]));
        } else if (group.producer != nullptr) {
            check_memory(window_table_bytes(graph, shapes_, *group.producer));  // to measure the rest takes as much
            operation = std::make_unique<Product>(graph, shapes_, *group.producer, shared_.weights_of(group.producer_index),
                                                  program(group.producer->outputs[0]));
        } else if (group.other == nullptr) {
            operation = std::make_unique<Pointwise>(program(-1), rows_of(group.shape));
        } else if (root(group.other->outputs[0]) == static_cast<std::size_t>(group.other->outputs[0])) {
            operation = std::make_unique<Plain>(graph, shapes_, *group.other);
        } else {
            continue;
        }
        const auto does = [&](const Node* node) { operation->nodes.push_back(static_cast<std::size_t>(node - graph.nodes.data())); };
        if (group.producer != nullptr) does(group.producer);
        if (group.other != nullptr) does(group.other);
        for (const Node* node : group.nodes) does(node);
        operations_.push_back(std::move(operation));
    }
}

std::vector<Step> Plan::steps() const {
    const auto bytes_of_all = [&](std::vector<int> values) {
        for (int& value : values) value = static_cast<int>(root(value));
        std::sort(values.begin(), values.end());
        values.erase(std::unique(values.begin(), values.end()), values.end());
        std::size_t bytes = 0;
        for (const int value : values) bytes += bytes_of(value);
        return bytes;
    };
    std::vector<Step> steps;
    for (const auto& operation : operations_)
        steps.push_back({operation->nodes, bytes_of_all(operation->reads) + operation->table_bytes(), bytes_of_all(operation->writes)});
    return steps;
}

void Plan::place() {
    const Graph& graph = shared_.graph;
    const int end = static_cast<int>(operations_.size());
    block_of_.assign(graph.values.size(), -1);
    const auto born = [&](int value, int when) {
        const std::size_t at = root(value);
        if (shared_.values[at] != nullptr || block_of_[at] >= 0) return;
        block_of_[at] = static_cast<int>(blocks_.size());
        blocks_.push_back({bytes_of(static_cast<int>(at)), when, when});
    };
    const auto used = [&](int value, int when) {
        const int block = block_of_[root(value)];
        if (block >= 0) blocks_[static_cast<std::size_t>(block)].last = std::max(blocks_[static_cast<std::size_t>(block)].last, when);
    };
    for (const int input : graph.inputs)
        if (dtype(input) == DType::bit) born(input, -1);
    std::size_t tables = 0;
    for (int i = 0; i < end; ++i) {
        Operation& operation = *operations_[static_cast<std::size_t>(i)];
        for (const int value : operation.writes) born(value, i);
        for (const int value : operation.reads) used(value, i);
        for (const std::size_t bytes : operation.scratch) {
            scratch_blocks_.push_back(blocks_.size());
            blocks_.push_back({bytes, i, i});
        }
        tables += operation.table_bytes();
    }
    std::vector<std::size_t> given(graph.values.size());  // how many outputs are this memory
    for (const int output : graph.outputs) ++given[root(output)];
    std::int64_t handed = 0;
    for (const int output : graph.outputs) {
        used(output, end);
        direct_.push_back(dtype(output) != DType::bit && block_of_[root(output)] >= 0 && given[root(output)] == 1);
        handed = add(handed, multiply(element_count(shape(output)), static_cast<std::int64_t>(element_bytes(dtype(output)))));
    }
    for (const State& state : graph.states) used(state.replacement, end);
    for (int i = 0; i < end; ++i)
        for (const auto& [from, to] : operations_[static_cast<std::size_t>(i)]->in_place) share(from, to, i);

    arena_bytes_ = place_blocks(blocks_);
    bytes_ = static_cast<std::size_t>(add(handed, add(static_cast<std::int64_t>(arena_bytes_), static_cast<std::int64_t>(tables))));
}

// What is made at `when` out of a value that nobody needs afterwards takes its memory.
void Plan::share(int from, int to, int when) {
    const int old = block_of_[root(from)], made = block_of_[root(to)];
    const Operation& operation = *operations_[static_cast<std::size_t>(when)];
    const auto uses = [&](const std::vector<int>& values) {  // of the old memory, under whatever name
        return std::count_if(values.begin(), values.end(), [&](int value) { return block_of_[root(value)] == old; });
    };
    if (old < 0 || made < 0 || uses(operation.reads) != 1 || uses(operation.writes) != 0) return;
    Block &a = blocks_[static_cast<std::size_t>(old)], &b = blocks_[static_cast<std::size_t>(made)];
    if (a.last != when || b.first != when || a.bytes != b.bytes) return;
    a.last = b.last;
    b.bytes = 0;
    block_of_[root(to)] = old;
}

void Plan::allocate() {
    arena_ = onebit::allocate(arena_bytes_);
    for (std::size_t value = 0; value < block_of_.size(); ++value)
        if (block_of_[value] >= 0) values_[value] = arena_.get() + blocks_[static_cast<std::size_t>(block_of_[value])].offset;
    auto next = scratch_blocks_.begin();
    for (const auto& operation : operations_) {
        for (std::size_t i = 0; i < operation->scratch.size(); ++i)
            operation->scratch_at.push_back(arena_.get() + blocks_[*next++].offset);
        operation->build();
    }
}

// An array that shares memory with an input or another output is filled at the end, when nothing is read any more.
bool Plan::touches_another(std::span<const void* const> inputs, std::span<void* const> outputs, std::size_t output) const {
    const Graph& graph = shared_.graph;
    const auto border_bytes = [&](int value) {
        return static_cast<std::size_t>(element_count(shape(value))) * element_bytes(dtype(value));
    };
    const auto* begin = static_cast<const std::byte*>(outputs[output]);
    const auto* end = begin + border_bytes(graph.outputs[output]);
    const auto overlaps = [&](const void* data, int value) {
        const auto* other = static_cast<const std::byte*>(data);
        return std::less<>()(other, end) && std::less<>()(begin, other + border_bytes(value));
    };
    for (std::size_t i = 0; i < inputs.size(); ++i)
        if (overlaps(inputs[i], graph.inputs[i])) return true;
    for (std::size_t i = 0; i < outputs.size(); ++i)
        if (i != output && overlaps(outputs[i], graph.outputs[i])) return true;
    return false;
}

void Plan::run(std::span<const void* const> inputs, std::span<void* const> outputs, std::vector<double>* seconds) {
    const Graph& graph = shared_.graph;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const int value = graph.inputs[i];
        if (dtype(value) == DType::bit)
            pack_bits(static_cast<const std::int8_t*>(inputs[i]), reinterpret_cast<std::uint32_t*>(values_[root(value)]),
                      rows_of(shape(value)), channels_of(shape(value)));
        else
            values_[root(value)] = static_cast<std::byte*>(const_cast<void*>(inputs[i]));  // never written
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        if (!direct_[i]) continue;
        const std::size_t at = root(graph.outputs[i]);
        values_[at] = touches_another(inputs, outputs, i) ? arena_.get() + blocks_[static_cast<std::size_t>(block_of_[at])].offset
                                                          : static_cast<std::byte*>(outputs[i]);
    }
    for (std::size_t value = 0; value < roots_.size(); ++value) values_[value] = values_[root(static_cast<int>(value))];

    const Workspace workspace{values_.data(), shared_.threads, shared_.table};
    if (seconds == nullptr) {
        for (const auto& operation : operations_) operation->run(workspace);
    } else {
        using Clock = std::chrono::steady_clock;
        seconds->clear();
        seconds->reserve(operations_.size());
        for (const auto& operation : operations_) {
            const auto begin = Clock::now();
            operation->run(workspace);
            seconds->push_back(std::chrono::duration<double>(Clock::now() - begin).count());
        }
    }

    for (std::size_t i = 0; i < outputs.size(); ++i) {
        const int value = graph.outputs[i];
        const std::byte* stored = values_[static_cast<std::size_t>(value)];
        if (dtype(value) == DType::bit)
            unpack_bits(reinterpret_cast<const std::uint32_t*>(stored), static_cast<std::int8_t*>(outputs[i]), rows_of(shape(value)),
                        channels_of(shape(value)));
        else if (const std::size_t bytes = bytes_of(value); bytes != 0 && stored != outputs[i])
            std::memcpy(outputs[i], stored, bytes);
    }
}

}  // namespace onebit
