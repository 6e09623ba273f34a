#include "dims.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "text.hpp"

namespace onebit {

namespace {

constexpr std::array<std::string_view, 8> dtype_names{"float32", "int8", "uint8", "int32", "int64", "bool", "bit", "ternary"};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_identifier(std::string_view word) {
    return !word.empty() && word.size() <= 255 && is_letter(word[0]) &&
           std::all_of(word.begin(), word.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

template <class Shapes>
std::string join(const Shapes& shape, auto write) {
    std::string result = "(";
    for (const auto& dim : shape) {
        if (result.size() > 1) result += ", ";
        result += write(dim);
    }
    return result + ")";
}

}  // namespace

std::int64_t add(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_add_overflow(a, b, &result)) fail("a size is too large: ", a, " + ", b, " leaves int64");
    return result;
}

std::int64_t multiply(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) fail("a size is too large: ", a, " * ", b, " leaves int64");
    return result;
}

std::int64_t element_count(std::span<const std::int64_t> shape) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count = multiply(count, size);
    return count;
}

void check_name(std::string_view name) {
    if (name.empty() || name.size() > 255) fail("a name must have 1 to 255 bytes, got ", name.size());
}

Dim product(const Dim& a, const Dim& b) {
    Dim result{multiply(a.coefficient, b.coefficient), a.symbols};
    if (result.coefficient == 0) return constant(0);
    result.symbols.insert(result.symbols.end(), b.symbols.begin(), b.symbols.end());
    std::sort(result.symbols.begin(), result.symbols.end());
    return result;
}

Dim product(std::span<const Dim> dims) {
    Dim result = constant(1);
    for (const Dim& dim : dims) result = product(result, dim);
    return result;
}

std::optional<Dim> sum(const Dim& a, const Dim& b) {
    if (is(a, 0)) return b;
    if (is(b, 0)) return a;
    if (a.symbols != b.symbols) return std::nullopt;
    return Dim{add(a.coefficient, b.coefficient), a.symbols};
}

Dim parse_dim(std::string_view text, std::vector<std::string>& symbols, bool may_add) {
    const auto wrong = [&] {
        fail("a dimension must be an integer of at least 0, or symbols such as 'batch' or '12*batch', got ", quoted(text));
    };
    Dim dim = constant(1);
    std::string_view rest = text;
    for (bool first = true;; first = false) {
        const std::string_view factor = rest.substr(0, rest.find('*'));
        if (first && !factor.empty() && is_digit(factor[0])) {
            const auto [end, error] = std::from_chars(factor.data(), factor.data() + factor.size(), dim.coefficient);
            if (error != std::errc() || end != factor.data() + factor.size() || factor[0] == '0') wrong();
        } else {
            if (!is_identifier(factor)) wrong();
            auto known = std::find(symbols.begin(), symbols.end(), factor);
            if (known == symbols.end()) {
                if (!may_add) fail("the symbol ", quoted(factor), " is no dimension of an input");
                if (symbols.size() >= 64) fail("a graph has at most 64 symbols");
                known = symbols.insert(known, std::string(factor));
            }
            dim.symbols.push_back(static_cast<int>(known - symbols.begin()));
        }
        if (factor.size() == rest.size()) break;
        rest.remove_prefix(factor.size() + 1);
    }
    if (dim.symbols.empty() || dim.coefficient > max_size) wrong();
    if (dim.symbols.size() > max_factors) fail("a dimension has at most ", max_factors, " symbols, got ", dim.symbols.size());
    std::sort(dim.symbols.begin(), dim.symbols.end());
    return dim;
}

std::string text(const Dim& dim, const std::vector<std::string>& symbols) {
    if (dim.symbols.empty()) return std::to_string(dim.coefficient);
    std::string result = dim.coefficient == 1 ? "" : std::to_string(dim.coefficient);
    std::vector<std::string_view> names;
    for (const int symbol : dim.symbols) names.push_back(symbols[static_cast<std::size_t>(symbol)]);
    std::sort(names.begin(), names.end());
    for (const std::string_view name : names) {
        if (!result.empty()) result += '*';
        result += name;
    }
    return result;
}

std::string text(std::span<const Dim> shape, const std::vector<std::string>& symbols) {
    return join(shape, [&](const Dim& dim) { return text(dim, symbols); });
}

std::string text(std::span<const std::int64_t> shape) {
    return join(shape, [](std::int64_t size) { return std::to_string(size); });
}

std::string_view name(DType dtype) { return dtype_names[static_cast<std::size_t>(dtype)]; }

std::optional<DType> dtype_of(std::string_view name) {
    const auto found = std::find(dtype_names.begin(), dtype_names.end(), name);
    if (found == dtype_names.end()) return std::nullopt;
    return static_cast<DType>(found - dtype_names.begin());
}

std::size_t element_bytes(DType dtype) {
    switch (dtype) {
        case DType::f32:
        case DType::i32: return 4;
        case DType::i64: return 8;
        default: return 1;
    }
}

std::int64_t evaluate(const Dim& dim, const Binding& binding) {
    std::int64_t size = dim.coefficient;
    for (const int symbol : dim.symbols) size = multiply(size, binding[static_cast<std::size_t>(symbol)]);
    return size;
}

Binding bind_symbols(const Graph& graph, std::span<const Shape> inputs) {
    if (inputs.size() != graph.inputs.size()) {
        fail("the graph has ", graph.inputs.size(), " inputs, got ", inputs.size());
    }
    const auto value = [&](std::size_t i) -> const Value& { return graph.values[static_cast<std::size_t>(graph.inputs[i])]; };
    const auto wrong = [&](std::size_t i) {
        fail("input ", quoted(value(i).name), " must have the shape ", text(value(i).type.shape, graph.symbols), ", got ",
             text(inputs[i]));
    };
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (inputs[i].size() != value(i).type.shape.size()) wrong(i);
        for (const std::int64_t size : inputs[i]) {
            if (size < 0) wrong(i);
        }
    }
    Binding binding(graph.symbols.size(), -1);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        for (std::size_t axis = 0; axis < inputs[i].size(); ++axis) {
            const Dim& dim = value(i).type.shape[axis];
            const std::int64_t size = inputs[i][axis];
            if (is_constant(dim)) {
                if (size != dim.coefficient) wrong(i);
                continue;
            }
            if (size % dim.coefficient != 0) wrong(i);
            std::int64_t& bound = binding[static_cast<std::size_t>(dim.symbols[0])];
            if (bound < 0) bound = size / dim.coefficient;
            if (bound != size / dim.coefficient) {
                fail("input ", quoted(value(i).name), " of shape ", text(inputs[i]), " does not fit ", text(value(i).type.shape, graph.symbols),
                     ": ", graph.symbols[static_cast<std::size_t>(dim.symbols[0])], " is ", bound, " already");
            }
        }
    }
    return binding;
}

}  // namespace onebit
