// Vectors of 32-bit lanes as compiler vector types; defined once per kernel translation unit, BYTES being its vector's size.
#include <cstdint>

namespace {

typedef std::uint32_t U __attribute__((vector_size(BYTES)));
typedef std::int32_t I __attribute__((vector_size(BYTES)));
typedef float F __attribute__((vector_size(BYTES)));

}  // namespace
