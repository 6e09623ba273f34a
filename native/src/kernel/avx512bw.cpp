// AVX-512 with bytes and words: bits of a nibble by table look-up, summed in bytes.
#define BYTES 64
#include <immintrin.h>

#include "kernel.hpp"
#include "vector.inc.hpp"

namespace {

struct Isa {
#include "avx512.inc.hpp"
    static constexpr int limit = 31;
    static constexpr int rows(onebit::kernel::Arithmetic a) { return a == onebit::kernel::Arithmetic::bits ? 4 : 6; }
    static constexpr auto integers = onebit::kernel::Arithmetic::pairs;

    static inline I dot(I acc, U codes, U x) {
        const __m512i pairs = _mm512_maddubs_epi16((__m512i)codes, (__m512i)x);
        return acc + (I)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
    }
    static inline U differ(U a, U b, U c) { return (U)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)b, (__m512i)c, 0x96); }
    // odd ? ~sum : ones
    static inline U carry(U ones, U odd, U sum) {
        return (U)_mm512_ternarylogic_epi32((__m512i)ones, (__m512i)odd, (__m512i)sum, 0x74);
    }
    static inline I add_products(I acc, U w, U x) { return acc + (I)_mm512_madd_epi16((__m512i)w, (__m512i)x); }
    static inline U count(U x) {
        const __m512i table =
            _mm512_set4_epi32(0x04030302, 0x03020201, 0x03020201, 0x02010100);
        const __m512i nibble = _mm512_set1_epi8(15);
        const __m512i low = _mm512_and_si512((__m512i)x, nibble);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16((__m512i)x, 4), nibble);
        return (U)_mm512_add_epi8(_mm512_shuffle_epi8(table, low), _mm512_shuffle_epi8(table, high));
    }
};

}  // namespace

#include "kernel.inc.hpp"

namespace onebit::kernel {
const Table avx512bw = table;
}
