// AVX2: bits of a nibble by table look-up, summed in bytes.
#define BYTES 32
#include <immintrin.h>

#include "kernel.hpp"
#include "vector.inc.hpp"

namespace {

struct Isa {
    static constexpr int bytes = BYTES;
    static constexpr int vectors = 4;
    static constexpr int limit = 31;
    static constexpr auto integers = onebit::kernel::Arithmetic::pairs;
    static constexpr int rows(onebit::kernel::Arithmetic a) { return a == onebit::kernel::Arithmetic::bits ? 2 : 3; }

    static inline U count(U x) {
        const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                               0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
        const __m256i nibble = _mm256_set1_epi8(15);
        const __m256i low = _mm256_and_si256((__m256i)x, nibble);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16((__m256i)x, 4), nibble);
        return (U)_mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
    }
    static inline I dot(I acc, U codes, U x) {
        const __m256i pairs = _mm256_maddubs_epi16((__m256i)codes, (__m256i)x);
        return acc + (I)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
    static inline I add_products(I acc, U w, U x) { return acc + (I)_mm256_madd_epi16((__m256i)w, (__m256i)x); }
    static inline unsigned mask_ge(F a, F b) {
        return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GE_OQ)));
    }
    static inline unsigned mask_ge(I a, I b) { return static_cast<unsigned>(_mm256_movemask_ps((__m256)(a >= b))); }
};

}  // namespace

#include "kernel.inc.hpp"

namespace onebit::kernel {
const Table avx2 = table;
}
