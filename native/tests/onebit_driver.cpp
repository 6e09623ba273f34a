// Runs packed files on every instruction set with 1, 2 and 3 threads and through the C interface, and says where anything differs
// from the portable kernel on one thread, or where a second run of a shape allocates memory. Built with sanitizers by `make
// sanitize`, for other processors by `make emulate`.
//
//     onebit_driver FILE...
//     onebit_driver --digest FILE...     a number for the outputs of each run instead: the same on every processor
//
// Exit status 0: all the same. Inputs are made from a fixed seed; every symbol is 1 in a first run, then 2, then 0.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>

#include "model.hpp"
#include "onebit.h"

namespace {

std::atomic<std::size_t> allocations{0};

void* counted(std::size_t bytes) {
    ++allocations;
    if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
    throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes == 0 ? 1 : bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes == 0 ? 1 : bytes); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace {

using namespace onebit;

struct Random {
    std::uint64_t state = 0x9e3779b97f4a7c15u;
    std::uint32_t operator()() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return static_cast<std::uint32_t>(state >> 32);
    }
};

// A value of any kind, special ones among the floats; integers that are good as indices.
void fill(Random& random, DType dtype, std::byte* data, std::int64_t count) {
    constexpr float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-40f, -3e38f, 0.5f};
    for (std::int64_t i = 0; i < count; ++i) {
        const std::uint32_t word = random();
        switch (dtype) {
            case DType::f32:
                reinterpret_cast<float*>(data)[i] =
                    word % 16 == 0 ? special[word / 16 % 8] : static_cast<float>(static_cast<std::int32_t>(word)) / 1e9f;
                break;
            case DType::i32: reinterpret_cast<std::int32_t*>(data)[i] = static_cast<std::int32_t>(word % 10); break;
            case DType::i64: reinterpret_cast<std::int64_t*>(data)[i] = word % 10; break;
            case DType::boolean: data[i] = std::byte{static_cast<unsigned char>(word & 1)}; break;
            case DType::bit: reinterpret_cast<std::int8_t*>(data)[i] = word & 1 ? 1 : -1; break;
            default: data[i] = std::byte{static_cast<unsigned char>(word)}; break;
        }
    }
}

bool same(DType dtype, const std::byte* a, const std::byte* b, std::size_t bytes) {
    if (dtype != DType::f32) return bytes == 0 || std::memcmp(a, b, bytes) == 0;
    const auto *x = reinterpret_cast<const float*>(a), *y = reinterpret_cast<const float*>(b);
    for (std::size_t i = 0; i < bytes / 4; ++i)
        if (std::bit_cast<std::uint32_t>(x[i]) != std::bit_cast<std::uint32_t>(y[i]) && !(std::isnan(x[i]) && std::isnan(y[i])))
            return false;
    return true;
}

struct Arrays {
    std::vector<Shape> shapes;
    std::vector<DType> dtypes;
    std::vector<std::size_t> bytes;
    std::vector<Buffer> buffers;

    void add(DType dtype, const Shape& shape) {
        shapes.push_back(shape);
        dtypes.push_back(dtype);
        bytes.push_back(static_cast<std::size_t>(element_count(shape)) * element_bytes(dtype));
        buffers.push_back(allocate(bytes.back()));
    }
    std::vector<void*> pointers() const {
        std::vector<void*> result;
        for (const Buffer& buffer : buffers) result.push_back(buffer.get());
        return result;
    }
};

Arrays outputs_of(Model& model, const std::vector<Shape>& shapes) {
    Arrays outputs;
    const auto found = model.output_shapes(shapes);
    for (std::size_t i = 0; i < found.size(); ++i)
        outputs.add(model.graph().values[static_cast<std::size_t>(model.graph().outputs[i])].type.dtype, found[i]);
    return outputs;
}

Arrays inputs_of(const Graph& graph, std::int64_t size) {
    Arrays inputs;
    Random random;
    const Binding binding(graph.symbols.size(), size);
    for (const int input : graph.inputs) {
        const Type& type = graph.values[static_cast<std::size_t>(input)].type;
        Shape shape;
        for (const Dim& dim : type.shape) shape.push_back(evaluate(dim, binding));
        inputs.add(type.dtype, shape);
        fill(random, type.dtype, inputs.buffers.back().get(), element_count(shape));
    }
    return inputs;
}

// What the portable kernel gives on one thread; nothing for a size that this graph does not take.
std::optional<Arrays> run_oracle(Model& oracle, const Arrays& inputs) {
    const std::vector<void*> pointers = inputs.pointers();
    const std::vector<const void*> in(pointers.begin(), pointers.end());
    try {
        Arrays expected = outputs_of(oracle, inputs.shapes);
        oracle.run(inputs.shapes, in, expected.pointers());
        return expected;
    } catch (const std::invalid_argument&) {
        return std::nullopt;
    }
}

// FNV-1a of the outputs, every NaN counted as the same one.
std::uint64_t digest(const Arrays& arrays) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (std::size_t i = 0; i < arrays.buffers.size(); ++i) {
        std::byte* data = arrays.buffers[i].get();
        if (arrays.dtypes[i] == DType::f32)
            for (std::size_t j = 0; j < arrays.bytes[i] / 4; ++j)
                if (float& x = reinterpret_cast<float*>(data)[j]; std::isnan(x)) x = std::bit_cast<float>(0x7fc00000);
        for (std::size_t j = 0; j < arrays.bytes[i]; ++j) hash = (hash ^ std::to_integer<std::uint64_t>(data[j])) * 0x100000001b3u;
    }
    return hash;
}

onebit_array view(DType dtype, const Shape& shape, void* data, std::size_t bytes) {
    constexpr onebit_dtype names[] = {ONEBIT_FLOAT32, ONEBIT_INT8, ONEBIT_UINT8, ONEBIT_INT32, ONEBIT_INT64, ONEBIT_BOOL, ONEBIT_BIT};
    onebit_array array{data, bytes, names[static_cast<std::size_t>(dtype)], static_cast<std::int32_t>(shape.size()), {}};
    std::copy(shape.begin(), shape.end(), array.shape);
    return array;
}

// What is wrong with two runs through the C interface; empty: nothing.
std::string through_c(std::span<const std::byte> file, const Arrays& inputs, const Arrays& expected) {
    onebit_options options = ONEBIT_DEFAULTS;
    options.threads = 2;
    onebit_model* model = nullptr;
    if (onebit_load_memory(file.data(), file.size(), &options, &model) != ONEBIT_OK) return onebit_error();
    std::vector<onebit_array> in, out;
    for (std::size_t i = 0; i < inputs.buffers.size(); ++i)
        in.push_back(view(inputs.dtypes[i], inputs.shapes[i], inputs.buffers[i].get(), inputs.bytes[i]));
    out.resize(expected.buffers.size());
    std::vector<Buffer> room;
    std::string wrong;
    if (onebit_prepare(model, in.data(), in.size(), out.data(), out.size(), nullptr) != ONEBIT_OK) wrong = onebit_error();
    for (onebit_array& array : out) {
        room.push_back(allocate(array.bytes));
        array.data = room.back().get();
    }
    if (wrong.empty() && onebit_run(model, in.data(), in.size(), out.data(), out.size()) != ONEBIT_OK) wrong = onebit_error();
    for (std::size_t i = 0; i < out.size() && wrong.empty(); ++i)
        if (out[i].bytes != expected.bytes[i] || !same(expected.dtypes[i], room[i].get(), expected.buffers[i].get(), out[i].bytes))
            wrong = "output " + std::to_string(i) + " differs from the portable kernel";
    const std::size_t before = allocations;
    onebit_reset(model);
    if (wrong.empty() && onebit_run(model, in.data(), in.size(), out.data(), out.size()) != ONEBIT_OK) wrong = onebit_error();
    if (wrong.empty() && allocations != before) wrong = std::to_string(allocations - before) + " allocations in a second run";
    onebit_free(model);
    return wrong;
}

// Number of complaints about one file, with every symbol set to `size`.
int check(const char* path, std::span<const std::byte> file, std::int64_t size) {
    int wrong = 0;
    Model oracle(load_graph(file), 1, "portable", std::nullopt);
    const Arrays inputs = inputs_of(oracle.graph(), size);
    const std::optional<Arrays> expected = run_oracle(oracle, inputs);
    if (!expected) return 0;
    const std::vector<void*> pointers = inputs.pointers();
    const std::vector<const void*> in(pointers.begin(), pointers.end());
    const auto complain = [&](const Model& model, const std::string& what) {
        std::printf("%s: %s, %d threads, size %lld: %s\n", path, model.isa().c_str(), model.threads(), static_cast<long long>(size), what.c_str());
        ++wrong;
    };
    for (const std::string& isa : available_isas())
        for (int threads = 1; threads <= 3; ++threads) {
            Model model(load_graph(file), threads, isa, std::nullopt, 0);
            Arrays outputs = outputs_of(model, inputs.shapes);
            const std::vector<void*> out = outputs.pointers();
            model.run(inputs.shapes, in, out);
            for (std::size_t i = 0; i < out.size(); ++i)
                if (!same(outputs.dtypes[i], outputs.buffers[i].get(), expected->buffers[i].get(), outputs.bytes[i]))
                    complain(model, "output " + std::to_string(i) + " differs from the portable kernel");
            const std::size_t before = allocations;
            model.run(inputs.shapes, in, out);
            if (allocations != before) complain(model, std::to_string(allocations - before) + " allocations in a second run");
        }
    if (const std::string complaint = through_c(file, inputs, *expected); !complaint.empty()) {
        std::printf("%s: C interface, size %lld: %s\n", path, static_cast<long long>(size), complaint.c_str());
        ++wrong;
    }
    return wrong;
}

void print_digest(const char* path, std::span<const std::byte> file, std::int64_t size) {
    Model model(load_graph(file), 1, "portable", std::nullopt);
    if (const auto outputs = run_oracle(model, inputs_of(model.graph(), size)))
        std::printf("%s %lld %016llx\n", path, static_cast<long long>(size), static_cast<unsigned long long>(digest(*outputs)));
}

}  // namespace

int main(int count, char** arguments) {
    const std::span all(arguments, static_cast<std::size_t>(count));
    const bool digests = count > 1 && std::strcmp(all[1], "--digest") == 0;
    const auto paths = all.subspan(digests ? 2 : std::min(count, 1));
    if (paths.empty()) {
        std::puts("usage: onebit_driver [--digest] FILE...");
        return 2;
    }
    int wrong = 0;
    for (const char* path : paths) {
        std::ifstream stream(path, std::ios::binary);
        const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
        if (!stream) {
            std::printf("%s: cannot be read\n", path);
            return 2;
        }
        const auto bytes = std::as_bytes(std::span(text));
        try {
            for (const std::int64_t size : {1, 2, 0})
                if (digests)
                    print_digest(path, bytes, size);
                else
                    wrong += check(path, bytes, size);
        } catch (const std::exception& error) {
            std::printf("%s: %s\n", path, error.what());
            ++wrong;
        }
    }
    if (!digests) {
        std::printf("%zu files, %d complaints, on:", paths.size(), wrong);
        for (const std::string& isa : available_isas()) std::printf(" %s", isa.c_str());
        std::puts("");
    }
    return wrong == 0 ? 0 : 1;
}
