// AVX-512 with the population count of every lane (VPOPCNTDQ).
#define BYTES 64
#include <immintrin.h>

#include "kernel.hpp"
#include "vector.inc.hpp"

namespace {

struct Isa {
#include "avx512.inc.hpp"
    static constexpr int limit = 0;

    static inline U count(U x) { return (U)_mm512_popcnt_epi32((__m512i)x); }
};

}  // namespace

#include "kernel.inc.hpp"

namespace onebit::kernel {
const Table avx512vpopcnt = {lanes, tile_vectors, items, run, pointwise_items, pointwise};
}
