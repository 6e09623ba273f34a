#include "pointwise.hpp"

namespace onebit {

Pointwise::Pointwise(Program program, std::int64_t rows) : program_(std::move(program)), rows_(rows), channels_(program_.channels()) {
    reads = program_.reads();
    writes = program_.writes();
    in_place = program_.in_place();
    // Where no step knows a channel, rows of few channels are as good as four long ones.
    constexpr std::int64_t lines = 4;
    if (program_.knows_no_channel() && channels_ % 64 != 0 && rows_ * channels_ % lines == 0) {
        channels_ = rows_ * channels_ / lines;
        rows_ = lines;
    }
}

void Pointwise::run(const Workspace& workspace) {
    kernel::Program program = program_.bind(workspace);
    program.channels = channels_;
    if (rows_ == 0 || channels_ == 0) return;
    workspace.threads.divide(workspace.table.pointwise_items(program, rows_), rows_ * channels_ * program.count,
                             [&](std::int64_t begin, std::int64_t end) { workspace.table.pointwise(program, rows_, begin, end); });
}

}  // namespace onebit
