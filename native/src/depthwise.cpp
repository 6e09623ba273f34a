#include "depthwise.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace onebit {

namespace {

const Constant& weight_of(const Graph& graph, const Node& node) {
    return graph.constants[static_cast<std::size_t>(graph.values[static_cast<std::size_t>(node.inputs[1])].constant)];
}

DType input_dtype(const Graph& graph, const Node& node) { return graph.values[static_cast<std::size_t>(node.inputs[0])].type.dtype; }

kernel::Element element_of(DType dtype) {
    return dtype == DType::f32 ? kernel::Element::float32 : dtype == DType::i8 ? kernel::Element::int8 : kernel::Element::uint8;
}

// Rows of channels, readable up to a whole tile.
std::int64_t padded(std::int64_t channels) { return (channels + 63) / 64 * 64; }

}  // namespace

bool Depthwise::fits(const Graph& graph, const Node& node) {
    if (node.kind != "conv" || node.integer("groups") == 1) return false;
    const Constant& weight = weight_of(graph, node);
    const DType x = input_dtype(graph, node);
    const bool held = (x == DType::f32 && weight.dtype == DType::f32) || ((x == DType::i8 || x == DType::u8) && weight.dtype == DType::i8);
    return held && weight.shape[3] == 1 && weight.shape[0] == node.integer("groups");
}

Depthwise::Depthwise(const Graph& graph, std::span<const Shape> shapes, const Node& node, Program program)
    : weight_(weight_of(graph, node)), program_(std::move(program)), input_(node.inputs[0]),
      windows_(*windows_of(graph, shapes, node, true)), pad_value_(node.integer("pad_value")) {
    const Shape &in = shapes[static_cast<std::size_t>(input_)], &out = shapes[static_cast<std::size_t>(node.outputs[0])];
    job_.element = element_of(input_dtype(graph, node));
    job_.channels = channels_of(out);
    job_.images = out[0];
    job_.pixels = windows_.pixels();
    job_.taps = windows_.kernel_h * windows_.kernel_w;
    job_.row_weights = padded(job_.channels);
    job_.image_elements = multiply(multiply(in[1], in[2]), in[3]);
    if (job_.image_elements > std::numeric_limits<std::int32_t>::max())
        throw std::invalid_argument("an image of " + std::to_string(job_.image_elements) + " elements is larger than a convolution can address");
    reads = program_.reads();
    reads.push_back(input_);
    writes = program_.writes();
}

std::size_t Depthwise::table_bytes() const {
    const std::int64_t words = add(multiply(job_.row_weights, job_.taps + 1), multiply(job_.pixels, job_.taps));
    return program_.table_bytes() + static_cast<std::size_t>(multiply(words, 4));
}

void Depthwise::build() {
    program_.build();
    weights_ = allocate(static_cast<std::size_t>(multiply(job_.row_weights, job_.taps)) * 4);
    std::fill_n(weights_.get(), static_cast<std::size_t>(job_.row_weights * job_.taps) * 4, std::byte{});
    for (std::int64_t c = 0; c < job_.channels; ++c)
        for (std::int64_t tap = 0; tap < job_.taps; ++tap) {
            const std::int64_t from = c * job_.taps + tap, to = tap * job_.row_weights + c;
            if (job_.element == kernel::Element::float32)
                reinterpret_cast<float*>(weights_.get())[to] = reinterpret_cast<const float*>(weight_.data)[from];
            else
                reinterpret_cast<std::int32_t*>(weights_.get())[to] = reinterpret_cast<const std::int8_t*>(weight_.data)[from];
        }
    padding_ = allocate(static_cast<std::size_t>(job_.row_weights) * 4);
    if (job_.element == kernel::Element::float32)
        std::fill_n(reinterpret_cast<float*>(padding_.get()), job_.row_weights, static_cast<float>(pad_value_));
    else
        std::fill_n(padding_.get(), job_.row_weights, static_cast<std::byte>(pad_value_));
    const Windows& w = windows_;
    offsets_.reserve(static_cast<std::size_t>(job_.pixels * job_.taps));
    for (std::int64_t y = 0; y < w.out_height; ++y)
        for (std::int64_t x = 0; x < w.out_width; ++x)
            for (std::int64_t tap = 0; tap < job_.taps; ++tap) {
                const std::int64_t row = w.row_of(y, tap / w.kernel_w), column = w.column_of(x, tap % w.kernel_w);
                const bool inside = w.has_row(row) && w.has_column(column);
                offsets_.push_back(inside ? static_cast<std::int32_t>((row * w.width + column) * job_.channels) : -1);
            }
    job_.weights = weights_.get();
    job_.padding = padding_.get();
    job_.offsets = offsets_.data();
}

void Depthwise::run(const Workspace& workspace) {
    if (job_.images == 0 || job_.pixels == 0) return;
    job_.input = workspace.at<const std::byte>(input_);
    job_.program = program_.bind(workspace);
    workspace.threads.divide(workspace.table.depthwise_items(job_), job_.images * job_.pixels * job_.taps * job_.channels,
                             [&](std::int64_t begin, std::int64_t end) { workspace.table.depthwise(job_, begin, end); });
}

}  // namespace onebit
