// A chain of pointwise nodes that follows no product.
#pragma once

#include "operation.hpp"
#include "program.hpp"

namespace onebit {

class Pointwise : public Operation {
public:
    Pointwise(Program program, std::int64_t rows);
    std::size_t table_bytes() const override { return program_.table_bytes(); }
    void build() override { program_.build(); }
    void run(const Workspace& workspace) override;

private:
    Program program_;
    std::int64_t rows_;
    std::int64_t channels_;
};

}  // namespace onebit
