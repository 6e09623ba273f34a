// From the shapes of the inputs to the shape of every value.
#include "dims.hpp"
#include "graph.hpp"
#include "infer.hpp"
#include "text.hpp"

namespace onebit {

std::vector<Shape> bind_shapes(const Graph& graph, std::span<const Shape> inputs) {
    const Binding binding = bind_symbols(graph, inputs);
    std::vector<Type> types(graph.values.size());
    for (std::size_t i = 0; i < types.size(); ++i) {
        const Value& value = graph.values[i];
        types[i].dtype = value.type.dtype;
        if (value.constant >= 0) types[i].shape = value.type.shape;
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        Type& type = types[static_cast<std::size_t>(graph.inputs[i])];
        for (const std::int64_t size : inputs[i]) type.shape.push_back(constant(size));
        with_place([&] { return cat("input ", quoted(graph.values[static_cast<std::size_t>(graph.inputs[i])].name)); },
                   [&] { return multiply(element_count(inputs[i]), static_cast<std::int64_t>(element_bytes(type.dtype))); });
    }
    // The rules of loading once more, with integers: what depends on sizes (an empty axis, a window outside) shows now.
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
        const Node& node = graph.nodes[i];
        with_place([&] { return cat("node ", i, " (", node.kind, ")"); }, [&] {
            Inference of{node, {}, {}, graph.symbols, &binding};
            for (const int input : node.inputs) {
                const Value& value = graph.values[static_cast<std::size_t>(input)];
                of.inputs.push_back(&types[static_cast<std::size_t>(input)]);
                of.constants.push_back(value.constant >= 0 ? &graph.constants[static_cast<std::size_t>(value.constant)] : nullptr);
            }
            types[static_cast<std::size_t>(node.outputs[0])] = infer(find_kind(node.kind), of);
        });
    }
    std::vector<Shape> shapes(types.size());
    for (std::size_t i = 0; i < types.size(); ++i) {
        for (const Dim& dim : types[i].shape) shapes[i].push_back(dim.coefficient);
    }
    return shapes;
}

}  // namespace onebit
