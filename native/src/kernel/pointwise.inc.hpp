// A pointwise program on a tile, step by step.
// Part of kernel.inc.hpp.

namespace {

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

}  // namespace
