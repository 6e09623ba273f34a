#include "c_model.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "dims.hpp"
#include "json.hpp"
#include "text.hpp"

static_assert(ONEBIT_MAX_RANK == onebit::max_rank);

using namespace onebit;

namespace {

constexpr std::pair<onebit_dtype, DType> dtypes[] = {
    {ONEBIT_FLOAT32, DType::f32}, {ONEBIT_INT8, DType::i8},      {ONEBIT_UINT8, DType::u8}, {ONEBIT_INT32, DType::i32},
    {ONEBIT_INT64, DType::i64},   {ONEBIT_BOOL, DType::boolean}, {ONEBIT_BIT, DType::bit}};

onebit_dtype outside(DType dtype) {
    return std::find_if(std::begin(dtypes), std::end(dtypes), [&](const auto& pair) { return pair.second == dtype; })->first;
}

DType inside(onebit_dtype dtype) {
    return std::find_if(std::begin(dtypes), std::end(dtypes), [&](const auto& pair) { return pair.first == dtype; })->second;
}

std::string dtype_text(onebit_dtype dtype) {
    for (const auto& [known, meant] : dtypes)
        if (known == dtype) return std::string(name(meant));
    return dtype == ONEBIT_ANY ? "ONEBIT_ANY" : cat("the number ", dtype);
}

// What a sentence calls a port: input 'x'.
std::string called(std::string_view role, const onebit_port& port) { return cat(role, " ", quoted(port.name)); }

std::size_t bytes_of(const onebit_port& port, const Shape& shape) {
    return static_cast<std::size_t>(multiply(element_count(shape), static_cast<std::int64_t>(element_bytes(inside(port.dtype)))));
}

void check_data(std::string_view role, const onebit_port& port, const void* data) {
    if (data == nullptr) fail(called(role, port), ": data must not be NULL");
    if (reinterpret_cast<std::uintptr_t>(data) % element_bytes(inside(port.dtype)) != 0)
        fail(called(role, port), " must be aligned to its elements");
}

// The engine reads a truth value as a bool and takes a bit for one of two values: other bytes must not get that far.
void check_values(std::string_view role, const onebit_port& port, const void* data, std::size_t count) {
    const auto* bytes = static_cast<const signed char*>(data);
    if (port.dtype == ONEBIT_BOOL && !std::all_of(bytes, bytes + count, [](int value) { return value == 0 || value == 1; }))
        fail(called(role, port), " must hold 0 and 1 only");
    if (port.dtype == ONEBIT_BIT && !std::all_of(bytes, bytes + count, [](int value) { return value == -1 || value == 1; }))
        fail(called(role, port), " must hold -1 and +1 only");
}

void check_count(std::string_view what, std::size_t wanted, const onebit_array* given, std::size_t count) {
    if (count != wanted) fail("the model has ", wanted, " ", what, ", got ", count);
    if (count != 0 && given == nullptr) fail(what, " must not be NULL");
}

}  // namespace

onebit_model::onebit_model(Graph graph, int threads, std::string_view isa, std::optional<std::size_t> max_memory)
    : model(std::move(graph), threads, isa, max_memory) {
    const Graph& loaded = model.graph();
    for (const int value : loaded.inputs) inputs.push_back(describe(value));
    for (const int value : loaded.outputs) outputs.push_back(describe(value));
    for (const State& state : loaded.states) states.push_back(describe(state.value));
    read_meta();
    shapes_.resize(inputs.size());
    for (Shape& shape : shapes_) shape.reserve(max_rank);
    in_.resize(inputs.size());
    out_.resize(outputs.size());
}

onebit_port onebit_model::describe(int index) {
    const Graph& graph = model.graph();
    const Value& value = graph.values[static_cast<std::size_t>(index)];
    const std::vector<Dim>& shape = value.type.shape;
    onebit_port port{value.name.c_str(), outside(value.type.dtype), static_cast<std::int32_t>(shape.size()), {}, {}};
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        port.shape[axis] = is_constant(shape[axis]) ? shape[axis].coefficient : -1;
        if (!is_constant(shape[axis])) port.symbols[axis] = symbols_.emplace_back(text(shape[axis], graph.symbols)).c_str();
    }
    return port;
}

void onebit_model::read_meta() {
    const json::Document document(model.graph().meta, "meta");
    for (const auto& [key, value] : document.root().members()) {
        if (key == "class_names")
            for (const json::Value& item : value.items()) classes.emplace_back(item.string());
        if (key == "mean" || key == "std")
            for (const json::Value& item : value.items()) (key == "mean" ? mean : deviation).push_back(static_cast<float>(item.number()));
    }
}

void onebit_model::read_shapes(const onebit_array* given, std::size_t given_count) {
    check_count("inputs", inputs.size(), given, given_count);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const onebit_array& array = given[i];
        if (array.dtype != inputs[i].dtype)
            fail(called("input", inputs[i]), " must have dtype ", dtype_text(inputs[i].dtype), ", got ", dtype_text(array.dtype));
        if (array.rank < 0 || array.rank > ONEBIT_MAX_RANK)
            fail(called("input", inputs[i]), ": rank must be 0..", ONEBIT_MAX_RANK, ", got ", array.rank);
        shapes_[i].assign(array.shape, array.shape + array.rank);
        for (const std::int64_t size : shapes_[i])
            if (size < 0) fail(called("input", inputs[i]), ": its shape must hold numbers of 0 or more, got ", size);
    }
}

void onebit_model::read_inputs(const onebit_array* given) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const std::size_t bytes = bytes_of(inputs[i], shapes_[i]);
        if (given[i].bytes != bytes)
            fail(called("input", inputs[i]), " of the shape ", text(shapes_[i]), " takes ", bytes, " bytes, got ", given[i].bytes);
        in_[i] = given[i].data;
        if (bytes == 0) continue;
        check_data("input", inputs[i], in_[i]);
        check_values("input", inputs[i], in_[i], bytes);
    }
}

void onebit_model::read_outputs(const onebit_array* results, std::size_t result_count) {
    check_count("outputs", outputs.size(), results, result_count);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        const onebit_array& array = results[i];
        if (array.dtype != ONEBIT_ANY && array.dtype != outputs[i].dtype)
            fail(called("output", outputs[i]), " has dtype ", dtype_text(outputs[i].dtype), ", expected was ", dtype_text(array.dtype));
        const std::size_t bytes = bytes_of(outputs[i], results_[i]);
        if (array.bytes < bytes)
            fail(called("output", outputs[i]), " of the shape ", text(results_[i]), " takes ", bytes, " bytes, there is room for ", array.bytes);
        out_[i] = array.data;
        if (bytes != 0) check_data("output", outputs[i], out_[i]);
    }
}

void onebit_model::describe_outputs(onebit_array* results) const {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        results[i].dtype = outputs[i].dtype;
        results[i].rank = static_cast<std::int32_t>(results_[i].size());
        std::copy(results_[i].begin(), results_[i].end(), results[i].shape);
    }
}

std::size_t onebit_model::prepare(const onebit_array* given, std::size_t given_count, onebit_array* results, std::size_t result_count) {
    const std::lock_guard lock(mutex_);
    check_count("outputs", outputs.size(), results, result_count);
    read_shapes(given, given_count);
    const std::size_t memory = model.prepare(shapes_, results_);
    describe_outputs(results);
    for (std::size_t i = 0; i < outputs.size(); ++i) results[i].bytes = bytes_of(outputs[i], results_[i]);
    return memory;
}

void onebit_model::run(const onebit_array* given, std::size_t given_count, onebit_array* results, std::size_t result_count) {
    const std::lock_guard lock(mutex_);
    read_shapes(given, given_count);
    model.prepare(shapes_, results_);
    read_inputs(given);
    read_outputs(results, result_count);
    model.run(shapes_, in_, out_);
    describe_outputs(results);
}

DType onebit_model::check_state(std::size_t index, const void* data, std::size_t bytes) const {
    if (index >= states.size()) fail("the model has ", states.size(), " states, got index ", index);
    const std::size_t wanted = bytes_of(states[index], model.state_shape(index));
    if (bytes != wanted) fail(called("state", states[index]), " takes ", wanted, " bytes, got ", bytes);
    if (bytes != 0 && data == nullptr) fail(called("state", states[index]), ": data must not be NULL");
    return inside(states[index].dtype);
}

void onebit_model::get_state(std::size_t index, void* data, std::size_t bytes) const {
    check_state(index, data, bytes);
    model.get_state(index, data);
}

void onebit_model::set_state(std::size_t index, const void* data, std::size_t bytes) {
    check_state(index, data, bytes);
    check_values("state", states[index], data, bytes);
    model.set_state(index, data);
}
