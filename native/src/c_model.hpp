// The model behind a handle of the C interface: what onebit.h describes, with exceptions. Every pointer, size and value that a
// caller gives is checked here; errors are std::invalid_argument (MemoryLimit among them).
#pragma once

#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "model.hpp"
#include "onebit.h"

struct onebit_model {
    onebit_model(onebit::Graph graph, int threads, std::string_view isa, std::optional<std::size_t> max_memory);

    // Sets the outputs' dtype, rank, shape and bytes; returns the bytes of the plan.
    std::size_t prepare(const onebit_array* given, std::size_t given_count, onebit_array* results, std::size_t result_count);
    void run(const onebit_array* given, std::size_t given_count, onebit_array* results, std::size_t result_count);
    void get_state(std::size_t index, void* data, std::size_t bytes) const;
    void set_state(std::size_t index, const void* data, std::size_t bytes);

    onebit::Model model;
    std::vector<onebit_port> inputs, outputs, states;
    std::vector<std::string> classes;
    std::vector<float> mean, deviation;

private:
    onebit_port describe(int index);
    void read_meta();
    void read_shapes(const onebit_array* given, std::size_t given_count);
    void read_inputs(const onebit_array* given);
    void read_outputs(const onebit_array* results, std::size_t result_count);
    void describe_outputs(onebit_array* results) const;
    onebit::DType check_state(std::size_t index, const void* data, std::size_t bytes) const;

    std::deque<std::string> symbols_;  // what ports point to
    std::mutex mutex_;                 // of what a call works with, kept so that a run allocates nothing:
    std::vector<onebit::Shape> shapes_, results_;
    std::vector<const void*> in_;
    std::vector<void*> out_;
};
