// Arithmetic on sizes, checked for overflow, and on dimensions: monomials of named symbols.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph.hpp"

namespace onebit {

constexpr std::size_t max_rank = 8;
constexpr std::size_t max_factors = 8;  // symbols of one dimension
constexpr std::int64_t max_size = std::int64_t{1} << 48;  // of a dimension in the file

// std::invalid_argument when the result leaves int64.
std::int64_t add(std::int64_t a, std::int64_t b);
std::int64_t multiply(std::int64_t a, std::int64_t b);
std::int64_t element_count(std::span<const std::int64_t> shape);

// A name in the file: 1 to 255 bytes.
void check_name(std::string_view name);

inline Dim constant(std::int64_t size) { return {size, {}}; }
inline bool is_constant(const Dim& dim) { return dim.symbols.empty(); }
inline bool is(const Dim& dim, std::int64_t size) { return dim.symbols.empty() && dim.coefficient == size; }

Dim product(const Dim& a, const Dim& b);
std::optional<Dim> sum(const Dim& a, const Dim& b);  // none when it is not a monomial
Dim product(std::span<const Dim> dims);

// "12*batch" -> {12, {batch}}; a symbol that is not known is added, or refused.
Dim parse_dim(std::string_view text, std::vector<std::string>& symbols, bool may_add);
std::string text(const Dim& dim, const std::vector<std::string>& symbols);
std::string text(std::span<const Dim> shape, const std::vector<std::string>& symbols);
std::string text(std::span<const std::int64_t> shape);

std::string_view name(DType dtype);
std::optional<DType> dtype_of(std::string_view name);
std::size_t element_bytes(DType dtype);  // 1 for bits: as they pass the border

// The size of each symbol, by index.
using Binding = std::vector<std::int64_t>;

// Binds the symbols from the shapes of the inputs; std::invalid_argument names the input that does not fit.
Binding bind_symbols(const Graph& graph, std::span<const Shape> inputs);
std::int64_t evaluate(const Dim& dim, const Binding& binding);

}  // namespace onebit
