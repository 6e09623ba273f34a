// Products in a register tile: rows of the input times vectors of output channels, in three arithmetics.
// Part of kernel.inc.hpp.

namespace {

// What an arithmetic does with one word, and perhaps with two at once; `drain` takes counts out of an accumulator before they
// overflow, `last` takes what is left; `sum` is the product when its accumulator is complete, `at` its place in the bases.
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
    static inline I drain(U& acc) {
        const I count = widen(acc);
        acc = U{};
        return count;
    }
    static inline I last(U acc) { return widen(acc); }
    static inline I sum(I count, const std::int32_t* bases, std::int64_t at) { return load(bases + at) - (count + count); }
};

// The same where counting takes longer than adding bit by bit: what differs in two words and the 1s kept from before make a digit of
// weight 1, which is kept, and one of weight 2, which is counted.
struct Halved : Bits {
    static constexpr int limit = 2 * Isa::limit;  // words
    struct Acc {
        U twos = {}, ones = {};
    };
    static inline void step(Acc& acc, U w, U x) {
        const U differ = w ^ x;
        acc.twos += Isa::count(acc.ones & differ);
        acc.ones ^= differ;
    }
    template <class T = Isa>
    static inline void step(Acc& acc, U w, U x, U next_w, U next_x) {
        const U odd = T::differ(acc.ones, w, x), ones = T::differ(odd, next_w, next_x);
        acc.twos += T::count(T::carry(acc.ones, odd, ones));
        acc.ones = ones;
    }
    static inline I drain(Acc& acc) { return Bits::drain(acc.twos) * 2; }
    static inline I last(Acc acc) { return widen(acc.twos) * 2 + widen(Isa::count(acc.ones)); }
};

template <class T, bool = requires(U x) { T::carry(x, x, x); }>
struct Counting {
    using type = Bits;
};
template <class T>
struct Counting<T, true> {
    using type = Halved;
};

// int16 pairs, or bytes where the instruction set has a product of four of them.
struct Integers {
    static constexpr Arithmetic arithmetic = Isa::integers;
    static constexpr int limit = 0;
    using Acc = I;
    static inline void step(I& acc, U w, U x) { acc = Isa::add_products(acc, w, x); }
    static inline I last(I acc) { return acc; }
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
    static inline I last(F acc) { return (I)acc; }
    static inline I sum(I total, const std::int32_t*, std::int64_t) { return total; }
};

inline U word_of(const std::byte* x, std::int32_t k) {
    std::uint32_t word;  // bytes are read from anywhere
    __builtin_memcpy(&word, x + std::ptrdiff_t{k} * 4, 4);
    return broadcast(word);
}

template <class P, int R, int NV>
inline __attribute__((always_inline)) void steps(typename P::Acc (&acc)[R][NV], const std::byte* const (&x)[R],
                                                 const std::uint32_t*& weights, std::int32_t from, std::int32_t to) {
    std::int32_t k = from;
    if constexpr (requires(typename P::Acc a, U u) { P::step(a, u, u, u, u); }) {
        for (; k + 1 < to; k += 2, weights += 2 * NV * lanes) {
#pragma GCC unroll 8
            for (int v = 0; v < NV; ++v) {
                const U w = load(weights + v * lanes), next = load(weights + (NV + v) * lanes);
#pragma GCC unroll 8
                for (int r = 0; r < R; ++r) P::step(acc[r][v], w, word_of(x[r], k), next, word_of(x[r], k + 1));
            }
        }
    }
    for (; k < to; ++k) {
        U w[NV];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) w[v] = load(weights + v * lanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const U all = word_of(x[r], k);
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
                            tile.at[r * tile_vectors + v] += P::drain(acc[r][v]);
                        }
                    budget = P::limit;
                }
            }
        }
    }
}

}  // namespace
