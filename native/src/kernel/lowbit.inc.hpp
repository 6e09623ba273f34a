// Matrix times few int8 rows with weights of one or two bits. Part of kernel.inc.hpp; uses
//   Isa::dot(acc, codes, x)   acc + the sum of four products of bytes: codes 0..128 without sign, x with sign; without it,
//                             Isa::add_products of int16 pairs
// With c the codes, a ternary weight is c - 1 and a binary one 2 c - 1: the result is factor * sum(c x) - sum(x).

#include "lowbit.hpp"

namespace {

struct Ternary {
    static constexpr int planes = 4, width = 2, factor = 1;
    static constexpr std::uint32_t low = 0x03030303u;
};

struct Binary {
    static constexpr int planes = 8, width = 1, factor = 2;
    static constexpr std::uint32_t low = 0x01010101u;
};

inline U word_at(const std::byte* x, std::int64_t index) {
    std::uint32_t word;
    __builtin_memcpy(&word, x + index * 4, 4);
    return broadcast(word);
}

typedef std::int16_t Halves __attribute__((vector_size(BYTES)));

template <class T = Isa>
inline __attribute__((always_inline)) I dot(I acc, U codes, U x) {
    if constexpr (requires { T::dot(acc, codes, x); }) {
        return T::dot(acc, codes, x);
    } else {
        const I even = T::add_products(acc, codes & 0x00ff00ffu, (U)((Halves)(x << 8) >> 8));
        return T::add_products(even, (codes >> 8) & 0x00ff00ffu, (U)((Halves)x >> 8));
    }
}

// One row where there are 32 registers: codes stay where they are in their bytes, one accumulator for each of four places, and
// each is shifted once at the end. Words of bits take so long (8 products each) that the next lines must be asked for early; for
// ternary ones, half as long, to ask costs more than it gives.
template <class C, int NV>
inline __attribute__((always_inline)) void sum_in_place(I (&total)[1][NV], const std::uint32_t* weights, const std::byte* x,
                                                        std::int64_t words) {
    constexpr int ahead = 8192;  // bytes
    I acc[4][NV] = {};
    for (std::int64_t g = 0; g < words; ++g, weights += NV * lanes) {
        if constexpr (C::planes == 8) {
#pragma GCC unroll 8
            for (int v = 0; v < NV; ++v) __builtin_prefetch(reinterpret_cast<const char*>(weights + v * lanes) + ahead, 0, 2);
        }
        U w[NV];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) w[v] = load(weights + v * lanes);
#pragma GCC unroll 2
        for (int half = 0; half < C::planes / 4; ++half) {
#pragma GCC unroll 4
            for (int p = 0; p < 4; ++p) {
                const U word = word_at(x, g * C::planes + half * 4 + p);
#pragma GCC unroll 8
                for (int v = 0; v < NV; ++v) acc[p][v] = dot(acc[p][v], (w[v] >> (4 * half)) & (C::low << (p * C::width)), word);
            }
        }
    }
    for (int v = 0; v < NV; ++v) {
        total[0][v] = acc[0][v];
        for (int p = 1; p < 4; ++p) total[0][v] = (I)((U)total[0][v] + (U)(acc[p][v] >> (p * C::width)));
    }
}

template <class C, int R, int NV>
inline __attribute__((always_inline)) void sum_rows(I (&acc)[R][NV], const std::uint32_t* weights, const std::byte* x,
                                                    std::int64_t words) {
    for (std::int64_t g = 0; g < words; ++g, weights += NV * lanes) {
        U w[NV];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) w[v] = load(weights + v * lanes);
#pragma GCC unroll 8
        for (int p = 0; p < C::planes; ++p) {
            U codes[NV];
#pragma GCC unroll 8
            for (int v = 0; v < NV; ++v) codes[v] = (w[v] >> (p * C::width)) & C::low;
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const U word = word_at(x, (r * words + g) * C::planes + p);
#pragma GCC unroll 8
                for (int v = 0; v < NV; ++v) acc[r][v] = dot(acc[r][v], codes[v], word);
            }
        }
    }
}

template <class C, int R, int NV>
void lowbit_block(const LowbitJob& job, const std::uint32_t* weights, const Place& place, Tile& tile) {
    I acc[R][NV] = {};
    const std::byte* x = job.input + place.row * job.words * C::planes * 4;
    if constexpr (R == 1 && Isa::bytes == 64)
        sum_in_place<C, NV>(acc, weights, x, job.words);
    else
        sum_rows<C, R, NV>(acc, weights, x, job.words);
    for (int r = 0; r < R; ++r) {
        const U sum = broadcast(static_cast<std::uint32_t>(job.sums[place.row + r]));
        for (int v = 0; v < NV; ++v) {
            U y = (U)acc[r][v] * static_cast<std::uint32_t>(C::factor) - sum;
            if (job.bases) y += (U)load(job.bases + place.channel + v * lanes);
            tile.at[r * tile_vectors + v] = (I)y;
        }
    }
    apply(*job.program, 0, place, tile);
}

template <class C, int NV, int R>
inline void lowbit_rows(const LowbitJob& job, const std::uint32_t* weights, const Place& place, Tile& tile) {
    if (place.rows == R) return lowbit_block<C, R, NV>(job, weights, place, tile);
    if constexpr (R > 1) return lowbit_rows<C, NV, R - 1>(job, weights, place, tile);
}

// A tile of weights is read for all rows, from memory by the first few.
template <class C>
void lowbit_tiles(const LowbitJob& job, std::int64_t begin, std::int64_t end) {
    constexpr int most = Isa::bytes == 64 ? 4 : Isa::bytes == 32 ? 2 : 1;
    const std::int64_t blocks = divide_up(job.rows, most);
    Tile tile;
    for (std::int64_t t = begin; t < end; ++t) {
        Place place;
        place.channel = t * tile_width;
        place.width = job.channels - place.channel < tile_width ? job.channels - place.channel : tile_width;
        place.vectors = vectors_for(place.width);
        const std::uint32_t* weights = job.weights + place.channel * job.words;
        for (std::int64_t block = 0; block < blocks; ++block) {
            place.row = block * job.rows / blocks;
            place.rows = static_cast<int>((block + 1) * job.rows / blocks - place.row);
            if (place.vectors == tile_vectors)
                lowbit_rows<C, tile_vectors, most>(job, weights, place, tile);
            else if (place.vectors == tile_vectors / 2)
                lowbit_rows<C, tile_vectors / 2, most>(job, weights, place, tile);
            else
                lowbit_rows<C, tile_vectors / 4, most>(job, weights, place, tile);
        }
    }
}

void lowbit(const LowbitJob& job, std::int64_t begin, std::int64_t end) {
    if (job.ternary) return lowbit_tiles<Ternary>(job, begin, end);
    lowbit_tiles<Binary>(job, begin, end);
}

}  // namespace
