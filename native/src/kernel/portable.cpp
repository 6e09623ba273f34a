// The kernel in plain compiler vectors: whatever the processor, and the oracle of the others.
#define BYTES 16
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "kernel.hpp"
#include "vector.inc.hpp"

namespace {

struct Isa {
    static constexpr int bytes = BYTES;
    static constexpr int vectors = 8;
    static constexpr int limit = 31;
    static constexpr auto integers = onebit::kernel::Arithmetic::pairs;
    static constexpr int rows(onebit::kernel::Arithmetic) { return 1; }

    static inline U count(U x) {
        x -= (x >> 1) & 0x55555555u;
        x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
        return (x + (x >> 4)) & 0x0f0f0f0fu;
    }
    static inline I add_products(I acc, U w, U x) {
#ifdef __SSE2__
        return acc + (I)_mm_madd_epi16((__m128i)w, (__m128i)x);
#else
        return acc + ((I)(w << 16) >> 16) * ((I)(x << 16) >> 16) + ((I)w >> 16) * ((I)x >> 16);
#endif
    }
    static inline unsigned mask(I condition) {
#ifdef __SSE2__
        return static_cast<unsigned>(_mm_movemask_ps((__m128)condition));
#else
        unsigned bits = 0;
        for (int i = 0; i < bytes / 4; ++i) bits |= (static_cast<std::uint32_t>(condition[i]) >> 31) << i;
        return bits;
#endif
    }
    static inline unsigned mask_ge(F a, F b) { return mask(a >= b); }
    static inline unsigned mask_ge(I a, I b) { return mask(a >= b); }
};

}  // namespace

#include "kernel.inc.hpp"

namespace onebit::kernel {
const Table portable = table;
}
