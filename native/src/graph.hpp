// The graph as the engine sees it: what a packed file says, checked and with every type inferred.
// docs/kinds.md defines the kinds, docs/file-format.md the file. No Python, no threads, no instruction sets in here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "platform.hpp"

namespace onebit {

enum class DType : std::uint8_t { f32, i8, u8, i32, i64, boolean, bit, ternary };

// A dimension: coefficient times a product of named symbols (none: a plain integer).
struct Dim {
    std::int64_t coefficient = 0;
    std::vector<int> symbols;  // indices into Graph::symbols, ascending
    bool operator==(const Dim&) const = default;
};

struct Type {
    DType dtype = DType::f32;
    std::vector<Dim> shape;
};

using Shape = std::vector<std::int64_t>;

using Attribute = std::variant<std::int64_t, double, bool, std::string, std::vector<std::int64_t>,
                               std::vector<std::vector<std::int64_t>>, std::vector<Dim>>;

// Attributes are complete after loading: defaults are filled in.
struct Node {
    std::string kind;
    std::vector<int> inputs;   // indices into Graph::values
    std::vector<int> outputs;
    std::map<std::string, Attribute, std::less<>> attributes;

    std::int64_t integer(std::string_view name) const { return std::get<std::int64_t>(attributes.find(name)->second); }
    double real(std::string_view name) const { return std::get<double>(attributes.find(name)->second); }
    bool flag(std::string_view name) const { return std::get<bool>(attributes.find(name)->second); }
    const std::string& text(std::string_view name) const { return std::get<std::string>(attributes.find(name)->second); }
    const std::vector<std::int64_t>& integers(std::string_view name) const {
        return std::get<std::vector<std::int64_t>>(attributes.find(name)->second);
    }
};

// A tensor held by the graph. Bits are packed as in the file: element i is bit i % 64 of word i / 64, set = +1. So are ternary
// numbers: element i, plus 1, is digit i % 5 of byte i / 5 in base 3.
constexpr int trits_of_byte = 5, trit_bytes = 243;  // 3^5

struct Constant {
    DType dtype = DType::f32;
    Shape shape;
    const std::byte* data = nullptr;  // 64-byte aligned, inside Graph::arena
    std::size_t bytes = 0;
};

struct Value {
    std::string name;
    Type type;
    int constant = -1;      // index into Graph::constants, -1 for none
    bool is_state = false;  // a constant that a run replaces
};

struct State {
    int value;        // its constant is the initial state
    int replacement;  // the value that becomes the state after a run
};

struct Graph {
    std::vector<std::string> symbols;
    std::vector<Value> values;
    std::vector<Constant> constants;
    std::vector<Node> nodes;  // topological order
    std::vector<int> inputs;
    std::vector<int> outputs;
    std::vector<State> states;
    std::string meta;  // the JSON of "meta", as text
    std::shared_ptr<std::byte[]> arena;
};

// Reads and checks a packed file; std::invalid_argument with one clear sentence on anything wrong.
// Allocation is bounded by a small multiple of the file's size.
Graph load_graph(std::span<const std::byte> file);

// The concrete shape of every value for inputs of these shapes (same order as Graph::inputs);
// std::invalid_argument names the input and what was expected.
std::vector<Shape> bind_shapes(const Graph& graph, std::span<const Shape> inputs);

}  // namespace onebit
