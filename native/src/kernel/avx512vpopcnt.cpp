// AVX-512 with the population count of every lane (VPOPCNTDQ) and products of four bytes (VNNI).
#define BYTES 64
#include <immintrin.h>

#include "kernel.hpp"
#include "vector.inc.hpp"

namespace {

struct Isa {
#include "avx512.inc.hpp"
    static constexpr int limit = 0;
    static constexpr int rows(onebit::kernel::Arithmetic) { return 6; }
    static constexpr auto integers = onebit::kernel::Arithmetic::bytes;

    static inline I add_products(I acc, U w, U x) { return (I)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)x, (__m512i)w); }
    static inline I dot(I acc, U codes, U x) { return (I)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)codes, (__m512i)x); }
    static inline U count(U x) { return (U)_mm512_popcnt_epi32((__m512i)x); }
};

}  // namespace

#include "kernel.inc.hpp"

namespace onebit::kernel {
const Table avx512vpopcnt = table;
}
