// Products in a register tile: rows of the input times vectors of output channels, in three arithmetics.
// Part of kernel.inc.hpp.

namespace {

struct Bits {
    static constexpr Arithmetic arithmetic = Arithmetic::bits;
    static constexpr int limit = Isa::limit;
    using Acc = U;
    static inline void step(U& acc, U w, U x) { acc += Isa::count(w ^ x); }
    static inline I widen(U acc) {
        if constexpr (limit == 0) return (I)acc;
        const U halves = (acc & 0x00ff00ffu) + ((acc >> 8) & 0x00ff00ffu);
        return (I)((halves & 0xffffu) + (halves >> 16));
    }
};

struct Pairs {
    static constexpr Arithmetic arithmetic = Arithmetic::pairs;
    static constexpr int limit = 0;
    using Acc = I;
    static inline void step(I& acc, U w, U x) { acc += Isa::madd((I)w, (I)x); }
    static inline I widen(I acc) { return acc; }
};

struct Floats {
    static constexpr Arithmetic arithmetic = Arithmetic::floats;
    static constexpr int limit = 0;
    using Acc = F;
    static inline void step(F& acc, U w, U x) { acc = acc + (F)x * (F)w; }
    static inline I widen(F acc) { return (I)acc; }
};

template <class P, int R, int NV>
inline __attribute__((always_inline)) void steps(typename P::Acc (&acc)[R][NV], const std::uint32_t* const (&x)[R],
                                                 const std::uint32_t*& weights, std::int32_t from, std::int32_t to) {
    for (std::int32_t k = from; k < to; ++k) {
        U w[NV];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) w[v] = load(weights + v * lanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const U word = broadcast(x[r][k]);
#pragma GCC unroll 8
            for (int v = 0; v < NV; ++v) P::step(acc[r][v], w[v], word);
        }
        weights += NV * lanes;
    }
}

// R consecutive pixels of one image times NV vectors of output channels.
template <class P, int R, int NV>
void multiply(const Job& job, const std::uint32_t* weights, const std::uint32_t* image, std::int64_t pixel, Tile& tile) {
    typename P::Acc acc[R][NV] = {};
    if constexpr (P::limit != 0) {
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < NV; ++v) tile.at[r * tile_vectors + v] = I{};
    }
    [[maybe_unused]] std::int32_t budget = P::limit;
    const std::int32_t* offsets = job.offsets ? job.offsets + pixel * job.taps : nullptr;
    for (std::int32_t tap = 0; tap < job.taps; ++tap) {
        const std::uint32_t* x[R];
        if (offsets) {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const std::int32_t offset = offsets[r * job.taps + tap];
                x[r] = offset < 0 ? job.padding : image + offset;
            }
        } else {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) x[r] = image + (pixel + r) * job.row_words;
        }
        if constexpr (P::limit == 0) {
            steps<P, R, NV>(acc, x, weights, 0, job.words);
        } else {
            for (std::int32_t k = 0; k < job.words;) {
                const std::int32_t n = job.words - k < budget ? job.words - k : budget;
                steps<P, R, NV>(acc, x, weights, k, k + n);
                k += n;
                budget -= n;
                if (budget == 0) {
#pragma GCC unroll 8
                    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                        for (int v = 0; v < NV; ++v) {
                            tile.at[r * tile_vectors + v] += P::widen(acc[r][v]);
                            acc[r][v] = typename P::Acc{};
                        }
                    budget = P::limit;
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) {
            if constexpr (P::limit != 0)
                tile.at[r * tile_vectors + v] += P::widen(acc[r][v]);
            else
                tile.at[r * tile_vectors + v] = P::widen(acc[r][v]);
        }
}

template <class P, int NV>
inline void multiply_rows(int rows, const Job& job, const std::uint32_t* weights, const std::uint32_t* image,
                          std::int64_t pixel, Tile& tile) {
    constexpr int most = Isa::rows(P::arithmetic);
    switch (rows) {
        case 1: return multiply<P, 1, NV>(job, weights, image, pixel, tile);
        case 2:
            if constexpr (most >= 2) return multiply<P, 2, NV>(job, weights, image, pixel, tile);
            break;
        case 3:
            if constexpr (most >= 3) return multiply<P, 3, NV>(job, weights, image, pixel, tile);
            break;
        case 4:
            if constexpr (most >= 4) return multiply<P, 4, NV>(job, weights, image, pixel, tile);
            break;
        case 5:
            if constexpr (most >= 5) return multiply<P, 5, NV>(job, weights, image, pixel, tile);
            break;
        default:
            if constexpr (most >= 6) return multiply<P, 6, NV>(job, weights, image, pixel, tile);
            break;
    }
}

}  // namespace
