// What both AVX-512 kernels share.
static constexpr int bytes = BYTES;
static constexpr int vectors = 4;

// A mask as a number. GCC 12 may spill one in 16 bits and read it back in 32 (seen with -O1 -fsanitize=thread): it has to pass
// through a general register, where the upper half is 0.
static inline unsigned number(__mmask16 mask) {
    unsigned bits = mask;
    asm("" : "+r"(bits));
    return bits;
}
static inline unsigned mask_ge(F a, F b) { return number(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ)); }
static inline unsigned mask_ge(I a, I b) { return number(_mm512_cmpge_epi32_mask((__m512i)a, (__m512i)b)); }
