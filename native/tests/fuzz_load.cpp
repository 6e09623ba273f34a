// Reads packed files as a stranger might write them and loads each: build with -fsanitize=address,undefined.
//
//     g++ -std=c++20 -g -O1 -fsanitize=address,undefined -Inative/src native/tests/fuzz_load.cpp native/src/{json,container,dims,infer,infer_layers,infer_elementwise,infer_shape,load}.cpp -o fuzz_load
//     ./fuzz_load a.onebit b.onebit            one line a file: "ok", or what is wrong with it
//     python -m tests.runtime.mutate --emit | ./fuzz_load -     frames of a 64-bit length and that many bytes
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "graph.hpp"

namespace {

// Loads, then binds every symbol to 0, 1 and 3.
std::string judge(const std::vector<char>& file) {
    try {
        const onebit::Graph graph = onebit::load_graph(std::as_bytes(std::span(file)));
        for (const std::int64_t size : {0, 1, 3}) {
            std::vector<onebit::Shape> inputs;
            for (const int input : graph.inputs) {
                onebit::Shape shape;
                for (const onebit::Dim& dim : graph.values[static_cast<std::size_t>(input)].type.shape) {
                    shape.push_back(dim.symbols.empty() ? dim.coefficient : dim.coefficient * size);
                }
                inputs.push_back(shape);
            }
            try {
                onebit::bind_shapes(graph, inputs);
            } catch (const std::invalid_argument&) {
                if (size == 3) throw;  // sizes of 0 and 1 may leave a window or a reduction empty
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
