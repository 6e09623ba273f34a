// conv and linear with the pointwise steps that follow them.
#pragma once

#include <optional>

#include "operation.hpp"
#include "program.hpp"
#include "rows.hpp"
#include "weights.hpp"
#include "windows.hpp"

namespace onebit {

class Product : public Operation {
public:
    Product(const Graph& graph, std::span<const Shape> shapes, const Node& node, Weights& weights, Program program);

    std::size_t table_bytes() const override;
    void build() override;
    void run(const Workspace& workspace) override;

private:
    bool leads_to_threshold() const;
    void build_offsets();
    void build_bases();
    void build_limits();

    Weights& weights_;
    Program program_;
    int input_;
    std::optional<Windows> windows_;  // none: one tap, pixel after pixel
    Rows rows_;
    kernel::Job job_;
    Border border_;
    std::vector<std::int32_t> offsets_, classes_, bases_, limits_;
    std::vector<std::uint32_t> flips_;
    std::vector<std::byte> padding_;
};

}  // namespace onebit
