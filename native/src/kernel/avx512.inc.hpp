// What both AVX-512 kernels share.
static constexpr int bytes = BYTES;
static constexpr int vectors = 4;
static constexpr int rows(onebit::kernel::Arithmetic) { return 6; }

static inline I madd(I a, I b) { return (I)_mm512_madd_epi16((__m512i)a, (__m512i)b); }
static inline unsigned mask_ge(F a, F b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ); }
static inline unsigned mask_ge(I a, I b) { return _mm512_cmpge_epi32_mask((__m512i)a, (__m512i)b); }
