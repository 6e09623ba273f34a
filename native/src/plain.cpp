#include "plain.hpp"

namespace onebit {

Plain::Plain(const Graph& graph, std::span<const Shape> shapes, const Node& node)
    : node_(node), generic_(find_generic(node.kind)) {
    const auto view = [&](int value) {
        const DType dtype = graph.values[static_cast<std::size_t>(value)].type.dtype;
        const Shape& shape = shapes[static_cast<std::size_t>(value)];
        int piece = -1;
        if (dtype == DType::bit && !generic_.packed) {
            piece = static_cast<int>(scratch.size());
            scratch.push_back(static_cast<std::size_t>(element_count(shape)));
        }
        pieces_.push_back(piece);
        return View{dtype, &shape, nullptr};
    };
    for (const int input : node.inputs) views_.push_back(view(input));
    views_.push_back(view(node.outputs[0]));
    reads = node.inputs;
    writes = node.outputs;
}

void Plain::run(const Workspace& workspace) {
    // Nothing comes out: loops over the other axes could be as long as the file likes. Indices are checked all the same.
    if (element_count(*views_.back().shape) == 0 && node_.kind != "embedding") return;
    const std::size_t n = node_.inputs.size();
    for (std::size_t i = 0; i <= n; ++i) {
        std::byte* stored = workspace.at<std::byte>(i < n ? node_.inputs[i] : node_.outputs[0]);
        if (pieces_[i] < 0) {
            views_[i].data = stored;
            continue;
        }
        views_[i].data = scratch_at[static_cast<std::size_t>(pieces_[i])];
        if (i < n)
            unpack_bits(reinterpret_cast<const std::uint32_t*>(stored), views_[i].as<std::int8_t>(), rows_of(*views_[i].shape),
                        channels_of(*views_[i].shape));
    }
    generic_.run({node_, std::span(views_).first(n), views_[n], workspace.threads, workspace.table});
    if (pieces_[n] >= 0)
        pack_bits(views_[n].as<const std::int8_t>(), workspace.at<std::uint32_t>(node_.outputs[0]), rows_of(*views_[n].shape),
                  channels_of(*views_[n].shape));
}

}  // namespace onebit
