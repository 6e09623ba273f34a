// One filter a channel, channels in the lanes: multiply, then add, tap after tap. Part of kernel.inc.hpp.

namespace {

// Elements as the lanes of what they are multiplied in.
inline F lanes_of(const float* p, std::int64_t n) { return load_some<F>(p, n); }
template <class T>
inline I lanes_of(const T* p, std::int64_t n) {
    typedef T Elements __attribute__((vector_size(lanes)));
    Elements x = {};
    if (n >= lanes) {
        __builtin_memcpy(&x, p, lanes);
    } else {
        for (int i = 0; i < n; ++i) x[i] = p[i];
    }
    return __builtin_convertvector(x, I);
}

template <class T, class V>
void depthwise_items_of(const Depthwise& job, std::int64_t begin, std::int64_t end) {
    using Weight = typename Scalar<V>::type;
    const std::int64_t blocks = divide_up(job.pixels, pointwise_rows), tiles = divide_up(job.channels, tile_width);
    Tile tile;
    for (std::int64_t item = begin; item < end; ++item) {
        const std::int64_t t = item % tiles, block = item / tiles % blocks, image = item / tiles / blocks;
        const std::int64_t first = block * pointwise_rows, left = job.channels - t * tile_width;
        Place place;
        place.row = image * job.pixels + first;
        place.rows = static_cast<int>(job.pixels - first < pointwise_rows ? job.pixels - first : pointwise_rows);
        place.channel = t * tile_width;
        place.width = left < tile_width ? left : tile_width;
        place.vectors = static_cast<int>(divide_up(place.width, lanes));
        const T* in = reinterpret_cast<const T*>(job.input) + image * job.image_elements + place.channel;
        const T* padding = reinterpret_cast<const T*>(job.padding);
        const Weight* weights = reinterpret_cast<const Weight*>(job.weights) + place.channel;
        for (int v = 0; v < place.vectors; ++v) {
            const std::int64_t n = place.width - v * lanes;
            V acc[pointwise_rows] = {};
            for (std::int64_t tap = 0; tap < job.taps; ++tap) {
                const V w = load(weights + tap * job.row_weights + v * lanes);
#pragma GCC unroll 8
                for (int r = 0; r < pointwise_rows; ++r) {
                    if (r >= place.rows) break;
                    const std::int64_t offset = job.offsets[(first + r) * job.taps + tap];
                    acc[r] = acc[r] + lanes_of(offset < 0 ? padding : in + offset + v * lanes, n) * w;
                }
            }
#pragma GCC unroll 8
            for (int r = 0; r < pointwise_rows; ++r) tile.at[r * tile_vectors + v] = (I)acc[r];
        }
        apply(job.program, 0, place, tile);
    }
}

std::int64_t depthwise_items(const Depthwise& job) {
    return job.images * divide_up(job.pixels, pointwise_rows) * divide_up(job.channels, tile_width);
}

void depthwise(const Depthwise& job, std::int64_t begin, std::int64_t end) {
    switch (job.element) {
        case Element::int8: return depthwise_items_of<std::int8_t, I>(job, begin, end);
        case Element::uint8: return depthwise_items_of<std::uint8_t, I>(job, begin, end);
        default: return depthwise_items_of<float, F>(job, begin, end);
    }
}

}  // namespace
