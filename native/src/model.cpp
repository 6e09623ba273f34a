#include "model.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "environment.hpp"

namespace onebit {

namespace {

constexpr int most_threads = 1024;

int checked_threads(int threads) {
    if (threads < 1 || threads > most_threads)
        throw std::invalid_argument("threads must be 1.." + std::to_string(most_threads) + ", got " + std::to_string(threads));
    return threads;
}

void pack_constant(const Constant& constant, std::uint32_t* words) {
    const std::int64_t rows = rows_of(constant.shape), channels = channels_of(constant.shape);
    if (channels == 0) return;  // the file may say 2^48 rows of nothing
    for (std::int64_t r = 0; r < rows; ++r, words += words_of(channels)) {
        std::fill_n(words, words_of(channels), 0u);
        for (std::int64_t c = 0; c < channels; ++c)
            words[c / 32] |= static_cast<std::uint32_t>(constant_bit(constant, r * channels + c)) << (c % 32);
    }
}

}  // namespace

Model::Model(Graph graph, int threads, std::string_view isa, std::optional<std::size_t> max_memory, std::int64_t grain, bool shared)
    : graph_(std::move(graph)), isa_(choose_isa(isa)),
      threads_(shared ? Threads::shared(checked_threads(threads)) : std::make_shared<Threads>(checked_threads(threads), grain)),
      max_memory_(max_memory), shared_{graph_, *isa_.table, *threads_, max_memory, {}, {}} {
    shared_.weights.resize(graph_.nodes.size());
    shared_.values.resize(graph_.values.size());
    std::vector<bool> is_weight(graph_.values.size(), true);
    for (const Node& node : graph_.nodes)
        for (std::size_t i = 0; i < node.inputs.size(); ++i)
            if (i != 1 || (node.kind != "conv" && node.kind != "linear")) is_weight[static_cast<std::size_t>(node.inputs[i])] = false;
    for (const int output : graph_.outputs) is_weight[static_cast<std::size_t>(output)] = false;
    for (const State& state : graph_.states) is_weight[static_cast<std::size_t>(state.replacement)] = false;

    for (std::size_t value = 0; value < graph_.values.size(); ++value) {
        if (graph_.values[value].constant < 0) continue;
        const bool is_state = graph_.values[value].is_state;
        const Constant& constant = graph_.constants[static_cast<std::size_t>(graph_.values[value].constant)];
        auto* data = const_cast<std::byte*>(constant.data);
        if (constant.dtype == DType::bit && (is_state || !is_weight[value])) {
            buffers_.push_back(allocate(storage_bytes(DType::bit, constant.shape)));
            data = buffers_.back().get();
            pack_constant(constant, reinterpret_cast<std::uint32_t*>(data));
        } else if (constant.dtype == DType::ternary && !is_weight[value]) {
            buffers_.push_back(allocate(storage_bytes(DType::ternary, constant.shape)));
            data = buffers_.back().get();
            unpack_trits(constant, reinterpret_cast<std::int8_t*>(data));
        } else if (is_state) {
            buffers_.push_back(allocate(constant.bytes));
            data = buffers_.back().get();
        }
        shared_.values[value] = data;
    }
    std::vector<std::size_t> same(graph_.values.size());  // a reshape is the same memory
    std::iota(same.begin(), same.end(), 0);
    for (const Node& node : graph_.nodes)
        if (node.kind == "reshape") same[static_cast<std::size_t>(node.outputs[0])] = same[static_cast<std::size_t>(node.inputs[0])];
    for (std::size_t i = 0; i < graph_.states.size(); ++i) {
        const std::size_t from = same[static_cast<std::size_t>(graph_.states[i].replacement)];
        staged_.push_back(graph_.values[from].is_state ? allocate(state_bytes(i)) : Buffer());
    }
    reset();
}

void Model::reset() {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < graph_.states.size(); ++i) {
        const Value& value = graph_.values[static_cast<std::size_t>(graph_.states[i].value)];
        const Constant& constant = graph_.constants[static_cast<std::size_t>(value.constant)];
        if (constant.dtype == DType::bit)
            pack_constant(constant, reinterpret_cast<std::uint32_t*>(state_at(i)));
        else if (constant.bytes != 0)
            std::memcpy(state_at(i), constant.data, constant.bytes);
    }
}

DType Model::state_dtype(std::size_t state) const {
    return graph_.values[static_cast<std::size_t>(graph_.states[state].value)].type.dtype;
}

const Shape& Model::state_shape(std::size_t state) const {
    const auto value = static_cast<std::size_t>(graph_.states[state].value);
    return graph_.constants[static_cast<std::size_t>(graph_.values[value].constant)].shape;
}

std::size_t Model::state_bytes(std::size_t state) const { return storage_bytes(state_dtype(state), state_shape(state)); }
std::byte* Model::state_at(std::size_t state) const { return shared_.values[static_cast<std::size_t>(graph_.states[state].value)]; }

std::size_t Model::plan_bytes() const {
    std::size_t bytes = 0;
    for (const Plan& plan : plans_) bytes += plan.bytes();
    return bytes;
}

Plan& Model::plan_for(std::span<const Shape> shapes) try {
    for (auto plan = plans_.begin(); plan != plans_.end(); ++plan)
        if (plan->fits(shapes)) {
            plans_.splice(plans_.begin(), plans_, plan);
            return plans_.front();
        }
    Plan& plan = plans_.emplace_front(shared_, shapes);  // refused beyond max_memory
    try {
        while (plans_.size() > 1 && (plans_.size() > most_plans || (max_memory_ && plan_bytes() > *max_memory_))) plans_.pop_back();
        plan.allocate();
    } catch (...) {
        plans_.pop_front();
        throw;
    }
    return plan;
} catch (const std::bad_alloc&) {
    throw MemoryLimit("a run with these input shapes needs more memory than the machine gives");
}

std::vector<Shape> Model::output_shapes(std::span<const Shape> inputs) {
    std::vector<Shape> shapes;
    prepare(inputs, shapes);
    return shapes;
}

std::size_t Model::prepare(std::span<const Shape> inputs, std::vector<Shape>& outputs) {
    const std::lock_guard lock(mutex_);
    const FloatEnvironment environment;  // a plan holds the attributes of its nodes as floats, which may be denormal
    const Plan& plan = plan_for(inputs);
    outputs.resize(graph_.outputs.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) outputs[i] = plan.shape(graph_.outputs[i]);
    return plan.bytes();
}

std::vector<Step> Model::steps(std::span<const Shape> inputs) {
    const std::lock_guard lock(mutex_);
    const FloatEnvironment environment;
    return plan_for(inputs).steps();
}

void Model::run(std::span<const Shape> shapes, std::span<const void* const> inputs, std::span<void* const> outputs,
                std::vector<double>* seconds) {
    const std::lock_guard lock(mutex_);
    const FloatEnvironment environment;
    Plan& plan = plan_for(shapes);
    plan.run(inputs, outputs, seconds);
    keep_states(plan);
}

// All states change at once: one that becomes another's value takes what that was before the run.
void Model::keep_states(const Plan& plan) {
    for (std::size_t i = 0; i < graph_.states.size(); ++i)
        if (staged_[i] && state_bytes(i) != 0) std::memcpy(staged_[i].get(), plan.stored(graph_.states[i].replacement), state_bytes(i));
    for (std::size_t i = 0; i < graph_.states.size(); ++i) {
        const std::byte* from = staged_[i] ? staged_[i].get() : plan.stored(graph_.states[i].replacement);
        if (from != state_at(i) && state_bytes(i) != 0) std::memcpy(state_at(i), from, state_bytes(i));
    }
}

void Model::get_state(std::size_t state, void* out) const {
    const std::lock_guard lock(mutex_);
    const Shape& shape = state_shape(state);
    if (state_dtype(state) == DType::bit)
        unpack_bits(reinterpret_cast<const std::uint32_t*>(state_at(state)), static_cast<std::int8_t*>(out), rows_of(shape), channels_of(shape));
    else if (state_bytes(state) != 0)
        std::memcpy(out, state_at(state), state_bytes(state));
}

void Model::set_state(std::size_t state, const void* in) {
    const std::lock_guard lock(mutex_);
    const Shape& shape = state_shape(state);
    if (state_dtype(state) == DType::bit)
        pack_bits(static_cast<const std::int8_t*>(in), reinterpret_cast<std::uint32_t*>(state_at(state)), rows_of(shape), channels_of(shape));
    else if (state_bytes(state) != 0)
        std::memcpy(state_at(state), in, state_bytes(state));
}

}  // namespace onebit
