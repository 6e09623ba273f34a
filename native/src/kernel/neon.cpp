// NEON, which every 64-bit ARM processor has: bits of a byte by CNT, int16 pairs by a long multiplication.
#define BYTES 16
#include <arm_neon.h>

#include "kernel.hpp"
#include "vector.inc.hpp"

namespace {

struct Isa {
    static constexpr int bytes = BYTES;
    static constexpr int vectors = 8;
    static constexpr int limit = 31;
    static constexpr auto integers = onebit::kernel::Arithmetic::pairs;
    static constexpr int rows(onebit::kernel::Arithmetic) { return 2; }

    static inline U count(U x) { return (U)vcntq_u8((uint8x16_t)x); }
    static inline I add_products(I acc, U w, U x) {
        const int16x8_t a = (int16x8_t)w, b = (int16x8_t)x;
        const int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b)), high = vmull_high_s16(a, b);
        return acc + (I)vpaddq_s32(low, high);
    }
    static inline unsigned mask(uint32x4_t lanes) {
        const uint32x4_t weights = {1, 2, 4, 8};
        return vaddvq_u32(vandq_u32(lanes, weights));
    }
    static inline unsigned mask_ge(F a, F b) { return mask(vcgeq_f32((float32x4_t)a, (float32x4_t)b)); }
    static inline unsigned mask_ge(I a, I b) { return mask(vcgeq_s32((int32x4_t)a, (int32x4_t)b)); }
};

}  // namespace

#include "kernel.inc.hpp"

namespace onebit::kernel {
const Table neon = table;
}
