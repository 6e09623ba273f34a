#include "product.hpp"

#include <algorithm>
#include <limits>

namespace onebit {

using kernel::Arithmetic;

namespace {

std::int64_t pad_value_of(const Node& node) { return node.kind == "conv" ? node.integer("pad_value") : 0; }

}  // namespace

Product::Product(const Graph& graph, std::span<const Shape> shapes, const Node& node, Weights& weights, Program program)
    : weights_(weights), program_(std::move(program)), input_(node.inputs[0]), windows_(windows_of(graph, shapes, node)),
      rows_(graph.values[static_cast<std::size_t>(input_)].type.dtype, shapes[static_cast<std::size_t>(input_)], weights, windows_,
            pad_value_of(node)) {
    const Shape& out = shapes[static_cast<std::size_t>(node.outputs[0])];
    if (rows_.copied()) scratch.push_back(rows_.copy_bytes());
    job_.group_weights = weights.group_words;
    job_.image_bytes = rows_.image_bytes();
    job_.row_bytes = rows_.pixel_bytes();
    job_.taps = static_cast<std::int32_t>(weights.taps);
    job_.words = static_cast<std::int32_t>(weights.words);
    job_.group_bytes = rows_.group_bytes();
    job_.groups = static_cast<std::int32_t>(weights.groups);
    job_.group_channels = weights.outputs;
    job_.images = windows_ ? out[0] : 1;
    job_.pixels = windows_ ? windows_->pixels() : rows_of(out);
    job_.group_stride = (weights.outputs + 63) / 64 * 64;
    job_.class_stride = job_.group_stride * weights.groups;
    if (weights.arithmetic == Arithmetic::bits && windows_ && pad_value_of(node) == 0) border_ = border_of(*windows_);
    reads = program_.reads();
    reads.push_back(input_);
    writes = program_.writes();
    for (const auto& pair : program_.in_place())
        if (pair.first != input_) in_place.push_back(pair);
}

bool Product::leads_to_threshold() const { return weights_.arithmetic == Arithmetic::bits && program_.leads_with_threshold(); }

std::size_t Product::table_bytes() const {
    std::int64_t words = weights_.words;
    if (windows_) words = add(words, multiply(windows_->pixels(), weights_.taps + (border_.count > 1 ? 1 : 0)));
    if (weights_.arithmetic == Arithmetic::bits || weights_.arithmetic == Arithmetic::bytes)
        words = add(words, multiply(border_.count, job_.class_stride));
    if (leads_to_threshold()) words = add(words, add(multiply(border_.count, job_.class_stride), program_.channels() / 32 + 2));
    return weights_.bytes() + program_.table_bytes() + static_cast<std::size_t>(multiply(words, 4));
}

void Product::build() {
    weights_.pack();
    job_.weights = reinterpret_cast<const std::uint32_t*>(weights_.packed.get());
    program_.build();
    padding_ = rows_.padding();
    if (windows_) build_offsets();
    build_bases();
    if (leads_to_threshold()) build_limits();
    job_.padding = padding_.data();
    job_.offsets = windows_ ? offsets_.data() : nullptr;
    job_.classes = classes_.empty() ? nullptr : classes_.data();
    job_.bases = bases_.data();
    job_.limits = limits_.empty() ? nullptr : limits_.data();
    job_.flips = flips_.data();
}

void Product::build_offsets() {
    const Windows& w = *windows_;
    offsets_.reserve(static_cast<std::size_t>(w.pixels() * weights_.taps));
    for (std::int64_t y = 0; y < w.out_height; ++y)
        for (std::int64_t x = 0; x < w.out_width; ++x)
            for (std::int64_t tap = 0; tap < weights_.taps; ++tap) {
                const std::int64_t row = w.row_of(y, weights_.whole_rows ? tap : tap / w.kernel_w);
                const std::int64_t column = w.column_of(x, tap % w.kernel_w);
                if (weights_.whole_rows)
                    offsets_.push_back(w.has_row(row) ? rows_.offset(row, x * w.stride_w) : -1);
                else
                    offsets_.push_back(w.has_row(row) && w.has_column(column) ? rows_.offset(row, column) : -1);
            }
}

// Bits: what 2 * popcount is taken from. A tap in zero padding reads bits that are all 0 (-1): its true contribution is 0, what the
// kernel counts for it is the set bits of the weight. Bytes: what the excess of the input adds, with the other sign.
void Product::build_bases() {
    if (weights_.arithmetic != Arithmetic::bits && weights_.arithmetic != Arithmetic::bytes) return;
    bases_.assign(static_cast<std::size_t>(border_.count * job_.class_stride), 0);
    std::vector<bool> padded(static_cast<std::size_t>(weights_.taps));
    const auto fill = [&](std::int64_t which) {
        for (std::int64_t o = 0; o < weights_.groups * weights_.outputs; ++o) {
            std::int64_t base = 0;
            if (weights_.arithmetic == Arithmetic::bytes) base = -std::int64_t{rows_.excess()} * weights_.totals[static_cast<std::size_t>(o)];
            for (std::int64_t tap = 0; tap < weights_.taps && weights_.arithmetic == Arithmetic::bits; ++tap) {
                const auto t = static_cast<std::size_t>(tap);
                base += padded[t] ? 2 * weights_.totals[static_cast<std::size_t>(o * weights_.taps) + t] : weights_.inputs;
            }
            const std::int64_t at = which * job_.class_stride + o / weights_.outputs * job_.group_stride + o % weights_.outputs;
            bases_[static_cast<std::size_t>(at)] = static_cast<std::int32_t>(base);
        }
    };
    if (border_.row_class.empty() || border_.column_class.empty()) return fill(0);

    const Windows& w = *windows_;
    std::vector<bool> done(static_cast<std::size_t>(border_.count));
    classes_.reserve(static_cast<std::size_t>(w.pixels()));
    for (std::int64_t y = 0; y < w.out_height; ++y)
        for (std::int64_t x = 0; x < w.out_width; ++x) {
            const std::int32_t which = border_.row_class[static_cast<std::size_t>(y)] + border_.column_class[static_cast<std::size_t>(x)];
            if (border_.count > 1) classes_.push_back(which);
            if (done[static_cast<std::size_t>(which)]) continue;
            done[static_cast<std::size_t>(which)] = true;
            for (std::int64_t tap = 0; tap < weights_.taps; ++tap)
                padded[static_cast<std::size_t>(tap)] = !w.has_row(w.row_of(y, tap / w.kernel_w)) || !w.has_column(w.column_of(x, tap % w.kernel_w));
            fill(which);
        }
}

// The threshold on sums as one on counts: base - 2 * count >= limit where count <= (base - limit) / 2, rounded down; and
// base - 2 * count <= limit unless count <= (base - limit) / 2, rounded up, less 1.
void Product::build_limits() {
    const kernel::Step& step = program_.first();
    const auto* masked = static_cast<const std::int32_t*>(step.first);
    const auto* mask = static_cast<const std::int32_t*>(step.second);
    limits_.assign(bases_.size(), 0);
    flips_.assign(static_cast<std::size_t>(program_.channels() / 32 + 2), 0);
    for (std::int64_t o = 0; o < weights_.groups * weights_.outputs; ++o) {
        const bool below = mask[o] != 0;
        const std::int64_t limit = masked[o] ^ mask[o];
        if (below) flips_[static_cast<std::size_t>(o / 32)] |= 1u << (o % 32);
        for (std::int64_t which = 0; which < border_.count; ++which) {
            const auto at = static_cast<std::size_t>(which * job_.class_stride + o / weights_.outputs * job_.group_stride + o % weights_.outputs);
            const std::int64_t room = bases_[at] - limit;
            const std::int64_t most = below ? ((room + 1) >> 1) - 1 : room >> 1;
            limits_[at] = static_cast<std::int32_t>(std::clamp<std::int64_t>(most, -1, std::numeric_limits<std::int32_t>::max()));
        }
    }
}

void Product::run(const Workspace& workspace) {
    if (job_.images == 0 || job_.pixels == 0) return;
    job_.input = workspace.at<const std::byte>(input_);
    if (rows_.copied()) {
        rows_.copy(workspace.threads, job_.input, scratch_at[0]);
        job_.input = scratch_at[0];
    }
    job_.program = program_.bind(workspace);
    const std::int64_t items = workspace.table.items(job_, weights_.arithmetic);
    const std::int64_t work = job_.images * job_.pixels * job_.taps * job_.words * job_.groups * job_.group_channels / 8;
    workspace.threads.divide(items, work, [&](std::int64_t begin, std::int64_t end) {
        workspace.table.run(job_, weights_.arithmetic, begin, end);
    });
}

}  // namespace onebit
