#include "product.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>

namespace onebit {

using kernel::Arithmetic;

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

std::optional<Windows> windows_of(const Graph& graph, std::span<const Shape> shapes, const Node& node) {
    if (node.kind != "conv") return std::nullopt;
    const Shape& in = shapes[static_cast<std::size_t>(node.inputs[0])];
    const Shape& out = shapes[static_cast<std::size_t>(node.outputs[0])];
    const Shape& weight = graph.constants[static_cast<std::size_t>(graph.values[static_cast<std::size_t>(node.inputs[1])].constant)].shape;
    const auto &stride = node.integers("stride"), &padding = node.integers("padding"), &dilation = node.integers("dilation");
    const Windows windows{in[1],     in[2],     out[1],     out[2],     weight[1],   weight[2],
                          stride[0], stride[1], padding[0], padding[2], dilation[0], dilation[1]};
    const bool plain = windows.taps() == 1 && stride[0] == 1 && stride[1] == 1 && padding == std::vector<std::int64_t>{0, 0, 0, 0};
    return plain ? std::nullopt : std::optional(windows);
}

std::size_t window_table_bytes(const Graph& graph, std::span<const Shape> shapes, const Node& node) {
    const std::optional<Windows> windows = windows_of(graph, shapes, node);
    return windows ? static_cast<std::size_t>(multiply(multiply(windows->pixels(), windows->taps()), 4)) : 0;
}

Product::Product(const Graph& graph, std::span<const Shape> shapes, const Node& node, Weights& weights, Program program)
    : weights_(weights), program_(std::move(program)), input_(node.inputs[0]) {
    const Shape& in = shapes[static_cast<std::size_t>(input_)];
    const Shape& out = shapes[static_cast<std::size_t>(node.outputs[0])];
    input_dtype_ = graph.values[static_cast<std::size_t>(input_)].type.dtype;
    input_rows_ = rows_of(in);
    input_channels_ = channels_of(in);

    std::int64_t images = 1, pixels = rows_of(out);
    if (node.kind == "conv") {
        pad_value_ = node.integer("pad_value");
        windows_ = windows_of(graph, shapes, node);
        if (windows_) {
            images = in[0];
            pixels = windows_->pixels();
        }
    }

    const bool bits = weights.arithmetic == Arithmetic::bits;
    regroup_ = weights.arithmetic == Arithmetic::pairs || (bits && weights.groups > 1 && weights.inputs % 32 != 0);
    const std::int64_t row_words = bits && !regroup_ ? words_of(input_channels_) : weights.words * weights.groups;
    if (windows_) {
        const std::int64_t image_words = multiply(multiply(windows_->height, windows_->width), row_words);
        if (image_words > std::numeric_limits<std::int32_t>::max())
            throw std::invalid_argument("an image of " + std::to_string(image_words) + " words is larger than a convolution can address");
        job_.image_words = image_words;
    }
    if (regroup_) scratch.push_back(static_cast<std::size_t>(multiply(multiply(input_rows_, row_words), 4)));

    job_.group_weights = weights.group_words;
    job_.row_words = static_cast<std::int32_t>(row_words);
    job_.taps = static_cast<std::int32_t>(weights.taps);
    job_.words = static_cast<std::int32_t>(weights.words);
    job_.group_words = static_cast<std::int32_t>(weights.words);
    job_.groups = static_cast<std::int32_t>(weights.groups);
    job_.group_channels = weights.outputs;
    job_.images = images;
    job_.pixels = pixels;
    if (bits) {
        job_.group_stride = (weights.outputs + 63) / 64 * 64;
        job_.class_stride = job_.group_stride * weights.groups;
        if (windows_ && pad_value_ == 0) {
            const Windows& w = *windows_;
            const auto rows = classify(w.out_height, w.kernel_h, [&](std::int64_t y, std::int64_t k) {
                const std::int64_t at = w.row_of(y, k * w.kernel_w);
                return at < 0 || at >= w.height;
            }, row_class_);
            const auto columns = classify(w.out_width, w.kernel_w, [&](std::int64_t x, std::int64_t k) {
                const std::int64_t at = w.column_of(x, k);
                return at < 0 || at >= w.width;
            }, column_class_);
            for (std::int32_t& row : row_class_) row *= columns;
            class_count_ = std::max<std::int64_t>(1, std::int64_t{rows} * columns);
        }
    }
    reads = program_.reads();
    reads.push_back(input_);
    writes = program_.writes();
}

std::size_t Product::table_bytes() const {
    std::int64_t words = weights_.words;
    if (windows_) words = add(words, multiply(windows_->pixels(), windows_->taps() + (class_count_ > 1 ? 1 : 0)));
    if (weights_.arithmetic == Arithmetic::bits) words = add(words, multiply(class_count_, job_.class_stride));
    return weights_.bytes() + program_.table_bytes() + static_cast<std::size_t>(multiply(words, 4));
}

void Product::build() {
    weights_.pack();
    job_.weights = reinterpret_cast<const std::uint32_t*>(weights_.packed.get());
    program_.build();
    build_padding();
    if (windows_) build_offsets();
    if (weights_.arithmetic == Arithmetic::bits) build_bases();
    job_.padding = padding_.data();
    job_.offsets = windows_ ? offsets_.data() : nullptr;
    job_.classes = classes_.empty() ? nullptr : classes_.data();
    job_.bases = bases_.data();
}

void Product::build_padding() {
    padding_.assign(static_cast<std::size_t>(weights_.words), 0);
    if (weights_.arithmetic == Arithmetic::floats) {
        std::fill(padding_.begin(), padding_.end(), std::bit_cast<std::uint32_t>(static_cast<float>(pad_value_)));
    } else if (weights_.arithmetic == Arithmetic::bits && pad_value_ == 1) {
        for (std::int64_t i = 0; i < weights_.inputs; ++i) padding_[static_cast<std::size_t>(i / 32)] |= 1u << (i % 32);
    }
}

void Product::build_offsets() {
    const Windows& w = *windows_;
    offsets_.reserve(static_cast<std::size_t>(w.pixels() * w.taps()));
    for (std::int64_t y = 0; y < w.out_height; ++y)
        for (std::int64_t x = 0; x < w.out_width; ++x)
            for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
                const std::int64_t row = w.row_of(y, tap), column = w.column_of(x, tap);
                offsets_.push_back(w.inside(row, column) ? static_cast<std::int32_t>((row * w.width + column) * job_.row_words) : -1);
            }
}

// What 2 * popcount is taken from. A tap in zero padding reads bits that are all 0 (-1): its true contribution is 0, what the
// kernel counts for it is the set bits of the weight.
void Product::build_bases() {
    const std::int64_t inputs = weights_.inputs;
    bases_.assign(static_cast<std::size_t>(class_count_ * job_.class_stride), 0);
    std::vector<bool> padded(static_cast<std::size_t>(weights_.taps));
    const auto fill = [&](std::int64_t which) {
        for (std::int64_t o = 0; o < weights_.groups * weights_.outputs; ++o) {
            std::int64_t base = 0;
            for (std::int64_t tap = 0; tap < weights_.taps; ++tap) {
                const auto t = static_cast<std::size_t>(tap);
                base += padded[t] ? 2 * weights_.ones[static_cast<std::size_t>(o * weights_.taps) + t] : inputs;
            }
            const std::int64_t at = which * job_.class_stride + o / weights_.outputs * job_.group_stride + o % weights_.outputs;
            bases_[static_cast<std::size_t>(at)] = static_cast<std::int32_t>(base);
        }
    };
    if (class_count_ == 1 && (row_class_.empty() || column_class_.empty())) return fill(0);

    const Windows& w = *windows_;
    std::vector<bool> done(static_cast<std::size_t>(class_count_));
    classes_.reserve(static_cast<std::size_t>(w.pixels()));
    for (std::int64_t y = 0; y < w.out_height; ++y)
        for (std::int64_t x = 0; x < w.out_width; ++x) {
            const std::int32_t which = row_class_[static_cast<std::size_t>(y)] + column_class_[static_cast<std::size_t>(x)];
            if (class_count_ > 1) classes_.push_back(which);
            if (done[static_cast<std::size_t>(which)]) continue;
            done[static_cast<std::size_t>(which)] = true;
            for (std::int64_t tap = 0; tap < w.taps(); ++tap)
                padded[static_cast<std::size_t>(tap)] = !w.inside(w.row_of(y, tap), w.column_of(x, tap));
            fill(which);
        }
}

// The input as the kernel reads it: as it is, or copied into rows in which every group starts at a word.
const std::uint32_t* Product::prepare(const Workspace& workspace) const {
    if (!regroup_) return workspace.at<const std::uint32_t>(input_);
    auto* out = reinterpret_cast<std::uint32_t*>(scratch_at[0]);
    const std::int64_t channels = input_channels_, groups = weights_.groups, inputs = weights_.inputs, words = weights_.words;
    const bool bits = weights_.arithmetic == Arithmetic::bits;
    workspace.threads.divide(input_rows_, input_rows_ * channels, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) {
            const auto* row_bits = workspace.at<const std::uint32_t>(input_) + r * words_of(channels);
            const auto bit = [&](std::int64_t c) { return row_bits[c / 32] >> (c % 32) & 1; };
            std::uint32_t* to = out + r * words * groups;
            for (std::int64_t group = 0; group < groups; ++group, to += words) {
                const std::int64_t first = group * inputs;
                if (bits) {
                    std::fill_n(to, words, 0u);
                    for (std::int64_t i = 0; i < inputs; ++i) to[i / 32] |= bit(first + i) << (i % 32);
                    continue;
                }
                auto* halves = reinterpret_cast<std::int16_t*>(to);
                const auto* bytes = workspace.at<const std::int8_t>(input_) + r * channels + first;
                if (input_dtype_ == DType::i8) {
                    for (std::int64_t i = 0; i < inputs; ++i) halves[i] = bytes[i];
                } else if (input_dtype_ == DType::u8) {
                    for (std::int64_t i = 0; i < inputs; ++i) halves[i] = static_cast<std::uint8_t>(bytes[i]);
                } else {
                    for (std::int64_t i = 0; i < inputs; ++i) halves[i] = bit(first + i) ? 1 : -1;
                }
                if (inputs % 2) halves[inputs] = 0;
            }
        }
    });
    return out;
}

void Product::run(const Workspace& workspace) {
    if (job_.images == 0 || job_.pixels == 0) return;
    job_.input = prepare(workspace);
    job_.program = program_.bind(workspace);
    const std::int64_t items = workspace.table.items(job_, weights_.arithmetic);
    const std::int64_t work = job_.images * job_.pixels * job_.taps * job_.words * job_.groups * job_.group_channels / 8;
    workspace.threads.divide(items, work, [&](std::int64_t begin, std::int64_t end) {
        workspace.table.run(job_, weights_.arithmetic, begin, end);
    });
}

}  // namespace onebit
