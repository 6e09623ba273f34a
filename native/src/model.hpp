// A loaded model: constants as the engine stores them, state tensors, and the plans of the shapes it has run.
#pragma once

#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include "cpu.hpp"
#include "plan.hpp"

namespace onebit {

class Model {
public:
    // `isa` empty: the fastest. `max_memory` bounds the bytes that all plans held at a time use.
    // `shared`: its threads are those of every other such model, of the default grain.
    Model(Graph graph, int threads, std::string_view isa, std::optional<std::size_t> max_memory,
          std::int64_t grain = Threads::default_grain, bool shared = false);
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const Graph& graph() const { return graph_; }
    const std::string& isa() const { return isa_.name; }
    int threads() const { return threads_->count(); }
    std::size_t plan_bytes() const;

    std::vector<Shape> output_shapes(std::span<const Shape> inputs);
    // The same into vectors that are there already; returns the bytes of the plan, which is made and kept.
    std::size_t prepare(std::span<const Shape> inputs, std::vector<Shape>& outputs);

    // Bits are int8 of -1 and +1 here. Allocates nothing for shapes that have run before (the last few of them are kept).
    // `seconds`: as in Plan::run.
    void run(std::span<const Shape> shapes, std::span<const void* const> inputs, std::span<void* const> outputs,
             std::vector<double>* seconds = nullptr);
    std::vector<Step> steps(std::span<const Shape> inputs);

    const Shape& state_shape(std::size_t state) const;
    void get_state(std::size_t state, void* out) const;
    void set_state(std::size_t state, const void* in);
    void reset();  // all states as the file has them

private:
    Plan& plan_for(std::span<const Shape> shapes);
    void keep_states(const Plan& plan);
    std::size_t state_bytes(std::size_t state) const;
    std::byte* state_at(std::size_t state) const;
    DType state_dtype(std::size_t state) const;

    static constexpr std::size_t most_plans = 8;

    Graph graph_;
    Isa isa_;
    std::shared_ptr<Threads> threads_;
    std::optional<std::size_t> max_memory_;
    std::vector<Buffer> buffers_;   // bit constants and states, as the engine stores them
    std::vector<Buffer> staged_;    // by state, only where its replacement is itself a state
    Shared shared_;
    std::list<Plan> plans_;  // the latest used first
    mutable std::mutex mutex_;
};

}  // namespace onebit
