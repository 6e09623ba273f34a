// Loads packed files as a stranger might write them, and runs those that are valid; for use under the sanitizers.
//
//     cmake -S . -B build/fuzz -DONEBIT_PYTHON=OFF -DONEBIT_TESTS=ON -DONEBIT_SANITIZE=address,undefined
//     cmake --build build/fuzz --target fuzz_load
//     fuzz_load a.onebit b.onebit                              one line a file: "ok", or what is wrong with it
//     python -m tests.runtime.mutate --emit | fuzz_load -      frames of a 64-bit length and that many bytes
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "dims.hpp"
#include "graph.hpp"
#include "model.hpp"

namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 20;  // of one input or output
constexpr std::size_t most_memory = std::size_t{1} << 26;

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

std::string judge(const std::vector<char>& file) {
    try {
        onebit::Graph graph = onebit::load_graph(std::as_bytes(std::span(file)));
        onebit::Model model(std::move(graph), 1, "", most_memory);
        std::mt19937 random(0);
        for (const std::int64_t size : {0, 1, 3}) {
            try {
                run(model, size, random);
            } catch (const std::invalid_argument&) {
                // This size leaves a window or a reduction empty, an index outside, or needs too much memory.
            }
        }
        return "ok";
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 2 && std::string(arguments[1]) == "-") {
        std::uint64_t length = 0;
        while (std::fread(&length, sizeof length, 1, stdin) == 1) {
            std::vector<char> file(length);
            if (std::fread(file.data(), 1, length, stdin) != length) return 2;
            std::puts(judge(file).c_str());
        }
        return 0;
    }
    for (int i = 1; i < count; ++i) {
        std::ifstream stream(arguments[i], std::ios::binary);
        const std::vector<char> file{std::istreambuf_iterator<char>(stream), {}};
        std::printf("%s: %s\n", arguments[i], judge(file).c_str());
    }
    return 0;
}
