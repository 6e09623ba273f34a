// What the fuzzers do with a file: load it as a stranger might have written it, and run it where it is valid. Counts what a
// load allocates. Include it in one file of a program: it replaces operator new.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "dims.hpp"
#include "graph.hpp"
#include "model.hpp"

namespace {

// docs/file-format.md: what a load may allocate, for each byte of the file and for any file.
constexpr std::size_t load_factor = 32;
constexpr std::size_t load_constant = std::size_t{1} << 16;

std::atomic<std::size_t> held, most_held;

void* counted(void* p) {
    if (p == nullptr) throw std::bad_alloc();
#ifdef __GLIBC__
    const std::size_t now = held += malloc_usable_size(p);
    if (now > most_held) most_held = now;  // loading is one thread's work
#endif
    return p;
}

void release(void* p) {
    if (p == nullptr) return;
#ifdef __GLIBC__
    held -= malloc_usable_size(p);
#endif
    std::free(p);
}

}  // namespace

// All of them: the sanitizers have their own, and what one of a pair made the other must release.
void* operator new(std::size_t bytes) { return counted(std::malloc(bytes == 0 ? 1 : bytes)); }
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return operator new(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return operator new(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    const auto to = static_cast<std::size_t>(alignment);
    return counted(std::aligned_alloc(to, (bytes + to - 1) / to * to));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return operator new(bytes, alignment); }
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { release(p); }

namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 20;  // of one input or output

using Bytes = std::vector<std::byte>;

std::size_t byte_count(onebit::DType dtype, const onebit::Shape& shape) {
    return static_cast<std::size_t>(onebit::element_count(shape)) * onebit::element_bytes(dtype);
}

Bytes random_values(onebit::DType dtype, std::size_t bytes, std::mt19937& random) {
    Bytes data(bytes);
    for (std::size_t i = 0; i < bytes; i += onebit::element_bytes(dtype)) {
        const int value = static_cast<int>(random() % 17) - 8;
        const auto put = [&](auto element) { std::memcpy(data.data() + i, &element, sizeof element); };
        switch (dtype) {
            case onebit::DType::f32: put(static_cast<float>(value) / 4.0f); break;
            case onebit::DType::i32: put(static_cast<std::int32_t>(value)); break;
            case onebit::DType::i64: put(static_cast<std::int64_t>(value)); break;
            case onebit::DType::boolean: put(static_cast<std::uint8_t>(value > 0)); break;
            case onebit::DType::bit: put(static_cast<std::int8_t>(value > 0 ? 1 : -1)); break;
            default: put(static_cast<std::int8_t>(value)); break;
        }
    }
    return data;
}

// One run with every symbol of this size; what is too large to try is left.
void run(onebit::Model& model, std::int64_t size, std::mt19937& random) {
    const onebit::Graph& graph = model.graph();
    std::vector<onebit::Shape> shapes;
    std::vector<Bytes> held;
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    for (const int input : graph.inputs) {
        const onebit::Type& type = graph.values[static_cast<std::size_t>(input)].type;
        const onebit::Binding binding(graph.symbols.size(), size);
        onebit::Shape shape;
        for (const onebit::Dim& dim : type.shape) shape.push_back(onebit::evaluate(dim, binding));
        const std::size_t bytes = byte_count(type.dtype, shape);
        if (bytes > most_bytes) return;
        shapes.push_back(shape);
        held.push_back(random_values(type.dtype, bytes, random));
        inputs.push_back(held.back().data());
    }
    const std::vector<onebit::Shape> results = model.output_shapes(shapes);
    for (std::size_t i = 0; i < results.size(); ++i) {
        const std::size_t bytes = byte_count(graph.values[static_cast<std::size_t>(graph.outputs[i])].type.dtype, results[i]);
        if (bytes > most_bytes) return;
        held.emplace_back(bytes);
        outputs.push_back(held.back().data());
    }
    model.run(shapes, inputs, outputs);
    model.run(shapes, inputs, outputs);
}

struct Verdict {
    std::string text;   // "ok", or what is wrong with the file
    std::size_t bytes;  // that loading held at most
    bool within(std::size_t size) const { return bytes <= load_constant + load_factor * size; }
};

Verdict judge(std::span<const std::byte> file, std::size_t most_memory) {
    const std::size_t before = held;
    most_held = before;
    Verdict verdict{"ok", 0};
    try {
        onebit::Graph graph = onebit::load_graph(file);
        verdict.bytes = most_held - before;
        onebit::Model model(std::move(graph), 1, "", most_memory);
        std::mt19937 random(0);
        for (const std::int64_t size : {0, 1, 3}) {
            try {
                run(model, size, random);
            } catch (const std::invalid_argument&) {
                // This size leaves a window or a reduction empty, an index outside, or needs too much memory.
            }
        }
    } catch (const std::invalid_argument& error) {
        if (verdict.bytes == 0) verdict.bytes = most_held - before;
        verdict.text = error.what();
    }
    return verdict;
}

}  // namespace
