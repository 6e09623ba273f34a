#include "windows.hpp"

#include <map>

#include "dims.hpp"

namespace onebit {

std::optional<Windows> windows_of(const Graph& graph, std::span<const Shape> shapes, const Node& node, bool plain) {
    if (node.kind != "conv") return std::nullopt;
    const Shape& in = shapes[static_cast<std::size_t>(node.inputs[0])];
    const Shape& out = shapes[static_cast<std::size_t>(node.outputs[0])];
    const Shape& weight = graph.constants[static_cast<std::size_t>(graph.values[static_cast<std::size_t>(node.inputs[1])].constant)].shape;
    const auto &stride = node.integers("stride"), &padding = node.integers("padding"), &dilation = node.integers("dilation");
    const Windows windows{in[1],     in[2],      out[1],     out[2],     weight[1],   weight[2],  stride[0],
                          stride[1], padding[0], padding[2], padding[3], dilation[0], dilation[1]};
    const bool one_tap = weight[1] == 1 && weight[2] == 1 && stride[0] == 1 && stride[1] == 1 && padding == std::vector<std::int64_t>{0, 0, 0, 0};
    return one_tap && !plain ? std::nullopt : std::optional(windows);
}

std::size_t window_table_bytes(const Graph& graph, std::span<const Shape> shapes, const Node& node) {
    const std::optional<Windows> windows = windows_of(graph, shapes, node);
    return windows ? static_cast<std::size_t>(multiply(multiply(windows->pixels(), windows->kernel_h * windows->kernel_w), 4)) : 0;
}

namespace {

// Numbers the different sets of taps that lie outside along one axis; returns the number of them.
template <class Outside>
std::int32_t classify(std::int64_t windows, std::int64_t kernel, const Outside& outside, std::vector<std::int32_t>& classes) {
    std::map<std::vector<bool>, std::int32_t> found;
    classes.resize(static_cast<std::size_t>(windows));
    for (std::int64_t w = 0; w < windows; ++w) {
        std::vector<bool> taps(static_cast<std::size_t>(kernel));
        for (std::int64_t k = 0; k < kernel; ++k) taps[static_cast<std::size_t>(k)] = outside(w, k);
        classes[static_cast<std::size_t>(w)] = found.emplace(taps, static_cast<std::int32_t>(found.size())).first->second;
    }
    return static_cast<std::int32_t>(found.size());
}

}  // namespace

Border border_of(const Windows& w) {
    Border border;
    const auto rows = classify(w.out_height, w.kernel_h, [&](std::int64_t y, std::int64_t k) { return !w.has_row(w.row_of(y, k)); }, border.row_class);
    const auto columns = classify(w.out_width, w.kernel_w, [&](std::int64_t x, std::int64_t k) { return !w.has_column(w.column_of(x, k)); }, border.column_class);
    for (std::int32_t& row : border.row_class) row *= columns;
    border.count = std::max<std::int64_t>(1, std::int64_t{rows} * columns);
    return border;
}

}  // namespace onebit
