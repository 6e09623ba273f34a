// The micro-kernel, written once. A translation unit defines `struct Isa` in an anonymous namespace and includes this file:
//   bytes, vectors             of a vector, of a tile
//   rows(Arithmetic)           of the register tile
//   limit                      steps before `count` would overflow its bytes; 0: `count` counts whole lanes
//   count(U)                   set bits, per byte or per lane
//   madd(I, I)                 int16 pairs, multiplied and added
//   mask_ge(F, F), mask_ge(I, I)   one bit a lane
// Everything here has internal linkage and uses no standard library, so that the linker cannot merge code built for a newer
// processor into the portable path.

#include "kernel.hpp"

namespace {

using namespace onebit::kernel;

constexpr int lanes = Isa::bytes / 4;
constexpr int tile_vectors = Isa::vectors;
constexpr int tile_width = lanes * tile_vectors;
constexpr int max_rows = 8;

typedef U UnalignedU __attribute__((aligned(4), may_alias));
typedef F UnalignedF __attribute__((aligned(4), may_alias));
typedef I UnalignedI __attribute__((aligned(4), may_alias));
typedef std::int8_t Bytes __attribute__((vector_size(lanes)));

inline U load(const std::uint32_t* p) { return *reinterpret_cast<const UnalignedU*>(p); }
inline F load(const float* p) { return *reinterpret_cast<const UnalignedF*>(p); }
inline I load(const std::int32_t* p) { return *reinterpret_cast<const UnalignedI*>(p); }
inline void save(float* p, F x) { *reinterpret_cast<UnalignedF*>(p) = x; }
inline void save(std::int32_t* p, I x) { *reinterpret_cast<UnalignedI*>(p) = x; }

inline F broadcast(float x) { return x - F{}; }
inline U broadcast(std::uint32_t x) { return x - U{}; }
inline I broadcast(std::int32_t x) { return x - I{}; }

template <class V, class T>
inline V load_some(const T* p, std::int64_t n) {
    if (n >= lanes) return load(p);
    V x = {};
    for (int i = 0; i < n; ++i) x[i] = p[i];
    return x;
}

template <class V, class T>
inline void save_some(T* p, V x, std::int64_t n) {
    if (n >= lanes) {
        save(p, x);
        return;
    }
    for (int i = 0; i < n; ++i) p[i] = x[i];
}

// The tile that a register tile is written to: rows of tile_vectors vectors, float32 or int32.
struct alignas(64) Tile {
    I at[max_rows * tile_vectors];
};

// ------------------------------------------------------------------------------------------------- arithmetics

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

// ------------------------------------------------------------------------------------------------- register tile

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

// ------------------------------------------------------------------------------------------------- pointwise program

// A tile of the output: `rows` consecutive rows from `row`, `vectors` vectors of channels from `channel`, `width` of them real.
struct Place {
    std::int64_t row;
    int rows;
    std::int64_t channel;
    std::int64_t width;
    int vectors;
};

template <class Function>
inline __attribute__((always_inline)) void each(const Place& place, Function&& function) {
    for (int v = 0; v < place.vectors; ++v)
        for (int r = 0; r < place.rows; ++r) function(r, v);
}

inline F select(I condition, F a, F b) { return condition ? a : b; }
inline I select(I condition, I a, I b) { return condition ? a : b; }
inline F greater(F a, F b) { return select((a > b) | (a != a), a, b); }
inline I greater(I a, I b) { return select(a > b, a, b); }
inline F lesser(F a, F b) { return select((a < b) | (a != a), a, b); }
inline I lesser(I a, I b) { return select(a < b, a, b); }

template <class V>
struct Scalar;
template <>
struct Scalar<F> {
    using type = float;
};
template <>
struct Scalar<I> {
    using type = std::int32_t;
};

template <class V, class Function>
inline __attribute__((always_inline)) void binary_from(const Step& step, std::int64_t channels, const Place& place, Tile& tile,
                                                       Function&& function) {
    using T = typename Scalar<V>::type;
    const T* operand = static_cast<const T*>(step.first);
    if (step.operand == Operand::tensor) {
        operand += place.row * channels + place.channel;
        each(place, [&](int r, int v) {
            I& at = tile.at[r * tile_vectors + v];
            at = (I)function((V)at, load_some<V>(operand + r * channels + v * lanes, place.width - v * lanes));
        });
        return;
    }
    for (int v = 0; v < place.vectors; ++v) {
        const V y = step.operand == Operand::channels ? load(operand + place.channel + v * lanes) : broadcast(operand[0]);
        for (int r = 0; r < place.rows; ++r) {
            I& at = tile.at[r * tile_vectors + v];
            at = (I)function((V)at, y);
        }
    }
}

template <class V, class Function>
inline void binary(const Step& step, std::int64_t channels, const Place& place, Tile& tile, Function&& function) {
    if (step.reversed)
        binary_from<V>(step, channels, place, tile, [&](V a, V b) { return function(b, a); });
    else
        binary_from<V>(step, channels, place, tile, function);
}

template <class Function>
inline void unary(const Place& place, Tile& tile, Function&& function) {
    each(place, [&](int r, int v) {
        I& at = tile.at[r * tile_vectors + v];
        at = (I)function((F)at);
    });
}

void load_tile(const Step& step, std::int64_t channels, const Place& place, Tile& tile) {
    const std::int64_t start = place.row * channels + place.channel;
    switch (step.element) {
        case Element::float32:
        case Element::int32: {
            const std::int32_t* in = static_cast<const std::int32_t*>(step.first) + start;
            each(place, [&](int r, int v) {
                tile.at[r * tile_vectors + v] = load_some<I>(in + r * channels + v * lanes, place.width - v * lanes);
            });
            return;
        }
        case Element::int8:
        case Element::uint8: {
            const std::uint8_t* in = static_cast<const std::uint8_t*>(step.first) + start;
            const bool is_signed = step.element == Element::int8;
            each(place, [&](int r, int v) {
                I x = {};
                for (int i = 0; i < lanes && v * lanes + i < place.width; ++i) {
                    const std::uint8_t byte = in[r * channels + v * lanes + i];
                    x[i] = is_signed ? static_cast<std::int8_t>(byte) : byte;
                }
                tile.at[r * tile_vectors + v] = x;
            });
            return;
        }
        case Element::bit: {
            const std::int64_t words = (channels + 31) / 32;
            const std::uint32_t* in = static_cast<const std::uint32_t*>(step.first) + place.row * words;
            each(place, [&](int r, int v) {
                I x = {};
                for (int i = 0; i < lanes && v * lanes + i < place.width; ++i) {
                    const std::int64_t c = place.channel + v * lanes + i;
                    x[i] = (in[r * words + c / 32] >> (c % 32)) & 1 ? 1 : -1;
                }
                tile.at[r * tile_vectors + v] = x;
            });
            return;
        }
    }
}

void store_tile(const Step& step, std::int64_t channels, const Place& place, const Tile& tile) {
    std::int32_t* out = static_cast<std::int32_t*>(step.out) + place.row * channels + place.channel;
    if (place.width == place.vectors * lanes) {
        each(place, [&](int r, int v) { save(out + r * channels + v * lanes, tile.at[r * tile_vectors + v]); });
        return;
    }
    each(place, [&](int r, int v) {
        save_some(out + r * channels + v * lanes, tile.at[r * tile_vectors + v], place.width - v * lanes);
    });
}

// Packed bits of `test(row, vector)` (one bit a lane); a tile starts at a word, and channels beyond the last are 0.
template <class Test>
inline __attribute__((always_inline)) void store_bits(const Step& step, std::int64_t channels, const Place& place, Test&& test) {
    const std::int64_t row_words = (channels + 31) / 32;
    std::uint32_t* out = static_cast<std::uint32_t*>(step.out) + place.row * row_words + place.channel / 32;
    constexpr int per_word = 32 / lanes;
    const int words = static_cast<int>((place.width + 31) / 32);
    const std::uint32_t last = place.width % 32 ? (1u << (place.width % 32)) - 1 : ~0u;
    for (int r = 0; r < place.rows; ++r) {
        for (int w = 0; w < words; ++w) {
            std::uint32_t word = 0;
            for (int i = 0; i < per_word && w * per_word + i < place.vectors; ++i)
                word |= static_cast<std::uint32_t>(test(r, w * per_word + i)) << (i * lanes);
            out[r * row_words + w] = w + 1 == words ? word & last : word;
        }
    }
}

void quantize_tile(const Step& step, std::int64_t channels, const Place& place, const Tile& tile) {
    std::int8_t* out = static_cast<std::int8_t*>(step.out) + place.row * channels + place.channel;
    const float* scale = static_cast<const float*>(step.first);
    const F low = broadcast(step.low - static_cast<float>(step.zero_point));
    const F high = broadcast(step.high - static_cast<float>(step.zero_point));
    const F magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding and taking it away rounds half to even
    for (int v = 0; v < place.vectors; ++v) {
        const F s = step.operand == Operand::channels ? load(scale + place.channel + v * lanes) : broadcast(scale[0]);
        const std::int64_t n = place.width - v * lanes;
        for (int r = 0; r < place.rows; ++r) {
            F x = (F)tile.at[r * tile_vectors + v] / s;
            x = select(x == x, x, F{});
            x = select(x < low, low, select(x > high, high, x));
            x = (x + magic) - magic;
            const I code = __builtin_convertvector(x, I) + step.zero_point;
            std::int8_t* at = out + r * channels + v * lanes;
            const Bytes bytes = __builtin_convertvector(code, Bytes);
            if (n >= lanes) {
                __builtin_memcpy(at, &bytes, lanes);
            } else {
                for (int i = 0; i < n; ++i) at[i] = bytes[i];
            }
        }
    }
}

void apply(const Program& program, int from, const Place& place, Tile& tile) {
    const std::int64_t channels = program.channels;
    for (int i = from; i < program.count; ++i) {
        const Step& step = program.steps[i];
        switch (step.op) {
            case Op::load: load_tile(step, channels, place, tile); break;
            case Op::store: store_tile(step, channels, place, tile); break;
            case Op::to_float:
                each(place, [&](int r, int v) {
                    I& at = tile.at[r * tile_vectors + v];
                    at = (I)__builtin_convertvector(at, F);
                });
                break;
            case Op::affine: {
                const float* scale = static_cast<const float*>(step.first) + place.channel;
                const float* shift = static_cast<const float*>(step.second) + place.channel;
                for (int v = 0; v < place.vectors; ++v) {
                    const F a = load(scale + v * lanes), b = load(shift + v * lanes);
                    if (step.integer) {
                        for (int r = 0; r < place.rows; ++r) {
                            I& at = tile.at[r * tile_vectors + v];
                            at = (I)(__builtin_convertvector(at, F) * a + b);
                        }
                    } else {
                        for (int r = 0; r < place.rows; ++r) {
                            I& at = tile.at[r * tile_vectors + v];
                            at = (I)((F)at * a + b);
                        }
                    }
                }
                break;
            }
            case Op::add:
                if (step.integer)
                    binary<I>(step, channels, place, tile, [](I a, I b) { return (I)((U)a + (U)b); });
                else
                    binary<F>(step, channels, place, tile, [](F a, F b) { return a + b; });
                break;
            case Op::subtract:
                if (step.integer)
                    binary<I>(step, channels, place, tile, [](I a, I b) { return (I)((U)a - (U)b); });
                else
                    binary<F>(step, channels, place, tile, [](F a, F b) { return a - b; });
                break;
            case Op::multiply:
                if (step.integer)
                    binary<I>(step, channels, place, tile, [](I a, I b) { return (I)((U)a * (U)b); });
                else
                    binary<F>(step, channels, place, tile, [](F a, F b) { return a * b; });
                break;
            case Op::divide: binary<F>(step, channels, place, tile, [](F a, F b) { return a / b; }); break;
            case Op::maximum:
                if (step.integer)
                    binary<I>(step, channels, place, tile, [](I a, I b) { return greater(a, b); });
                else
                    binary<F>(step, channels, place, tile, [](F a, F b) { return greater(a, b); });
                break;
            case Op::minimum:
                if (step.integer)
                    binary<I>(step, channels, place, tile, [](I a, I b) { return lesser(a, b); });
                else
                    binary<F>(step, channels, place, tile, [](F a, F b) { return lesser(a, b); });
                break;
            case Op::relu: unary(place, tile, [](F x) { return greater(x, F{}); }); break;
            case Op::clip: {
                const F low = broadcast(step.low), high = broadcast(step.high);
                unary(place, tile, [&](F x) { return select(x < low, low, select(x > high, high, x)); });
                break;
            }
            case Op::prelu:
                binary_from<F>(step, channels, place, tile, [](F x, F slope) { return select(x > F{}, x, x * slope); });
                break;
            case Op::negate: unary(place, tile, [](F x) { return (F)((U)x ^ 0x80000000u); }); break;
            case Op::absolute: unary(place, tile, [](F x) { return (F)((U)x & 0x7fffffffu); }); break;
            case Op::square_root:
                unary(place, tile, [](F x) {
                    for (int i = 0; i < lanes; ++i) x[i] = __builtin_sqrtf(x[i]);
                    return x;
                });
                break;
            case Op::sign:
                store_bits(step, channels, place, [&](int r, int v) {
                    return Isa::mask_ge((F)tile.at[r * tile_vectors + v], F{});
                });
                break;
            case Op::threshold: {
                // x >= limit, or x <= limit written as ~x >= ~limit: `first` is limit ^ mask, `second` the mask
                const std::int32_t* limit = static_cast<const std::int32_t*>(step.first) + place.channel;
                const std::int32_t* mask = static_cast<const std::int32_t*>(step.second) + place.channel;
                store_bits(step, channels, place, [&](int r, int v) {
                    return Isa::mask_ge(tile.at[r * tile_vectors + v] ^ load(mask + v * lanes), load(limit + v * lanes));
                });
                break;
            }
            case Op::quantize: quantize_tile(step, channels, place, tile); break;
        }
    }
}

// ------------------------------------------------------------------------------------------------- jobs

inline int vectors_for(std::int64_t width) {
    if (width <= tile_width / 4) return tile_vectors / 4;
    return width <= tile_width / 2 ? tile_vectors / 2 : tile_vectors;
}

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// From counts of differing bits to sums, and in the same pass, for tiles without a rest, the steps that most binary layers begin
// with: a threshold; or affine, sum with a tensor, store, sign. Returns the number of steps done.
int finish_bits(const Job& job, std::int64_t group, std::int64_t channel, std::int64_t pixel, const Place& place, Tile& tile) {
    const Program& program = job.program;
    const Step* steps = program.steps;
    const std::int64_t channels = program.channels;
    const bool full = program.count > 0 && place.width == place.vectors * lanes;
    const bool affine = full && steps[0].op == Op::affine, threshold = full && steps[0].op == Op::threshold;
    int done = affine || threshold ? 1 : 0;
    const auto next = [&](Op op) { return affine && done < program.count && steps[done].op == op ? &steps[done++] : nullptr; };
    const Step* add = done < program.count && steps[done].operand == Operand::tensor ? next(Op::add) : nullptr;
    const Step* store = next(Op::store);
    const Step* sign = threshold ? &steps[0] : next(Op::sign);

    const std::int64_t row_words = (channels + 31) / 32;
    const float* other = add ? static_cast<const float*>(add->first) + place.row * channels + place.channel : nullptr;
    float* out = store ? static_cast<float*>(store->out) + place.row * channels + place.channel : nullptr;
    std::uint32_t* bits = sign ? static_cast<std::uint32_t*>(sign->out) + place.row * row_words + place.channel / 32 : nullptr;
    const float* scale = affine ? static_cast<const float*>(steps[0].first) + place.channel : nullptr;
    const float* shift = affine ? static_cast<const float*>(steps[0].second) + place.channel : nullptr;
    const std::int32_t* limit = threshold ? static_cast<const std::int32_t*>(steps[0].first) + place.channel : nullptr;
    const std::int32_t* mask = threshold ? static_cast<const std::int32_t*>(steps[0].second) + place.channel : nullptr;
    const std::int32_t* bases = job.bases + group * job.group_stride + channel;
    for (int r = 0; r < place.rows; ++r) {
        const std::int32_t* base = bases + (job.classes ? job.classes[pixel + r] : 0) * job.class_stride;
        std::uint32_t word = 0;
        for (int v = 0; v < place.vectors; ++v) {
            I& at = tile.at[r * tile_vectors + v];
            const I sum = load(base + v * lanes) - (at + at);
            unsigned set = 0;
            if (affine) {
                F x = __builtin_convertvector(sum, F) * load(scale + v * lanes) + load(shift + v * lanes);
                if (add) x = add->reversed ? load(other + r * channels + v * lanes) + x : x + load(other + r * channels + v * lanes);
                if (store) save(out + r * channels + v * lanes, x);
                if (sign) set = Isa::mask_ge(x, F{});
                at = (I)x;
            } else {
                if (threshold) set = Isa::mask_ge(sum ^ load(mask + v * lanes), load(limit + v * lanes));
                at = sum;
            }
            if (sign) {
                word |= static_cast<std::uint32_t>(set) << (v * lanes % 32);
                if ((v + 1) * lanes % 32 == 0 || v + 1 == place.vectors) {
                    bits[r * row_words + v * lanes / 32] = word;
                    word = 0;
                }
            }
        }
    }
    return done;
}

template <class P>
std::int64_t items_of(const Job& job) {
    constexpr int most = Isa::rows(P::arithmetic);
    return job.groups * divide_up(job.group_channels, tile_width) * job.images * divide_up(job.pixels, most);
}

template <class P>
void run_job(const Job& job, std::int64_t begin, std::int64_t end) {
    constexpr int most = Isa::rows(P::arithmetic);
    const std::int64_t blocks = divide_up(job.pixels, most);
    const std::int64_t tiles = divide_up(job.group_channels, tile_width);
    Tile tile;
    for (std::int64_t item = begin; item < end; ++item) {
        const std::int64_t block = item % blocks;
        const std::int64_t image = item / blocks % job.images;
        const std::int64_t column = item / blocks / job.images;
        const std::int64_t t = column % tiles, group = column / tiles;
        const std::int64_t first = block * job.pixels / blocks, last = (block + 1) * job.pixels / blocks;

        const std::int64_t channel = t * tile_width;
        const std::int64_t left = job.group_channels - channel;
        Place place;
        place.row = image * job.pixels + first;
        place.rows = static_cast<int>(last - first);
        place.channel = group * job.group_channels + channel;
        place.width = left < tile_width ? left : tile_width;
        place.vectors = vectors_for(place.width);

        const std::uint32_t* weights = job.weights + group * job.group_weights + channel * job.taps * job.words;
        const std::uint32_t* input = job.input + image * job.image_words + group * job.group_words;
        if (place.vectors == tile_vectors)
            multiply_rows<P, tile_vectors>(place.rows, job, weights, input, first, tile);
        else if (place.vectors == tile_vectors / 2)
            multiply_rows<P, tile_vectors / 2>(place.rows, job, weights, input, first, tile);
        else
            multiply_rows<P, tile_vectors / 4>(place.rows, job, weights, input, first, tile);

        int done = 0;
        if constexpr (P::arithmetic == Arithmetic::bits) done = finish_bits(job, group, channel, first, place, tile);
        apply(job.program, done, place, tile);
    }
}

std::int64_t items(const Job& job, Arithmetic arithmetic) {
    switch (arithmetic) {
        case Arithmetic::bits: return items_of<Bits>(job);
        case Arithmetic::pairs: return items_of<Pairs>(job);
        default: return items_of<Floats>(job);
    }
}

void run(const Job& job, Arithmetic arithmetic, std::int64_t begin, std::int64_t end) {
    switch (arithmetic) {
        case Arithmetic::bits: return run_job<Bits>(job, begin, end);
        case Arithmetic::pairs: return run_job<Pairs>(job, begin, end);
        default: return run_job<Floats>(job, begin, end);
    }
}

constexpr int pointwise_rows = 4;

std::int64_t pointwise_items(const Program& program, std::int64_t rows) {
    return divide_up(rows, pointwise_rows) * divide_up(program.channels, tile_width);
}

void pointwise(const Program& program, std::int64_t rows, std::int64_t begin, std::int64_t end) {
    const std::int64_t tiles = divide_up(program.channels, tile_width);
    Tile tile;
    for (std::int64_t item = begin; item < end; ++item) {
        const std::int64_t row = item / tiles * pointwise_rows, channel = item % tiles * tile_width;
        const std::int64_t left = program.channels - channel;
        Place place;
        place.row = row;
        place.rows = static_cast<int>(rows - row < pointwise_rows ? rows - row : pointwise_rows);
        place.channel = channel;
        place.width = left < tile_width ? left : tile_width;
        place.vectors = static_cast<int>(divide_up(place.width, lanes));
        apply(program, 0, place, tile);
    }
}

}  // namespace
