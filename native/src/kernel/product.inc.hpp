// Products in a register tile: rows of the input times vectors of output channels, in three arithmetics.
// Part of kernel.inc.hpp.

namespace {

// `sum` is the product when its accumulator is complete; `at` is its place in the bases.
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
    static inline I sum(I count, const std::int32_t* bases, std::int64_t at) { return load(bases + at) - (count + count); }
};

// int16 pairs, or bytes where the instruction set has a product of four of them.
struct Integers {
    static constexpr Arithmetic arithmetic = Isa::integers;
    static constexpr int limit = 0;
    using Acc = I;
    static inline void step(I& acc, U w, U x) { acc = Isa::add_products(acc, w, x); }
    static inline I widen(I acc) { return acc; }
    static inline I sum(I total, const std::int32_t* bases, std::int64_t at) {
        if constexpr (arithmetic == Arithmetic::bytes) total += load(bases + at);
        return total;
    }
};

struct Floats {
    static constexpr Arithmetic arithmetic = Arithmetic::floats;
    static constexpr int limit = 0;
    using Acc = F;
    static inline void step(F& acc, U w, U x) { acc = acc + (F)x * (F)w; }
    static inline I widen(F acc) { return (I)acc; }
    static inline I sum(I total, const std::int32_t*, std::int64_t) { return total; }
};

template <class P, int R, int NV>
inline __attribute__((always_inline)) void steps(typename P::Acc (&acc)[R][NV], const std::byte* const (&x)[R],
                                                 const std::uint32_t*& weights, std::int32_t from, std::int32_t to) {
    for (std::int32_t k = from; k < to; ++k) {
        U w[NV];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) w[v] = load(weights + v * lanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            std::uint32_t word;  // bytes are read from anywhere
            __builtin_memcpy(&word, x[r] + std::ptrdiff_t{k} * 4, 4);
            const U all = broadcast(word);
#pragma GCC unroll 8
            for (int v = 0; v < NV; ++v) P::step(acc[r][v], w[v], all);
        }
        weights += NV * lanes;
    }
}

// What R consecutive pixels of one image times NV vectors of output channels add up to. Counts in bytes are widened into `tile`
// whenever they could overflow.
template <class P, int R, int NV>
inline __attribute__((always_inline)) void accumulate(typename P::Acc (&acc)[R][NV], const Job& job, const std::uint32_t* weights,
                                                      const std::byte* image, std::int64_t pixel, Tile& tile) {
    if constexpr (P::limit != 0) {
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < NV; ++v) tile.at[r * tile_vectors + v] = I{};
    }
    [[maybe_unused]] std::int32_t budget = P::limit;
    const std::int32_t* offsets = job.offsets ? job.offsets + pixel * job.taps : nullptr;
    for (std::int32_t tap = 0; tap < job.taps; ++tap) {
        const std::byte* x[R];
        if (offsets) {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const std::int64_t offset = offsets[r * job.taps + tap] * unit_of(P::arithmetic);
                x[r] = offset < 0 ? job.padding : image + offset;
            }
        } else {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) x[r] = image + (pixel + r) * job.row_bytes;
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
}

}  // namespace
