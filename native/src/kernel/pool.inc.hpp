// Windows over float32 images, channels in the lanes: taps inside the map, row-major, from the first tap or from +0.0.
// Part of kernel.inc.hpp.

namespace {

// NV vectors of channels of one output pixel; rows and columns are those of the taps that lie inside, `width` the channels left.
template <int NV, bool maximum>
inline __attribute__((always_inline)) void pool_pixel(const Pool& pool, const float* image, const Span& rows, const Span& columns,
                                                      float count, float* out, std::int64_t width) {
    F acc[NV] = {};
    bool first = maximum;
    for (std::int64_t row = rows.begin; row < rows.end; row += pool.dilation_h) {
        const float* at = image + (row * pool.width + columns.begin) * pool.channels;
        for (std::int64_t column = columns.begin; column < columns.end; column += pool.dilation_w) {
#pragma GCC unroll 4
            for (int v = 0; v < NV; ++v) {
                const F x = load_some<F>(at + v * lanes, width - v * lanes);
                if constexpr (maximum)
                    acc[v] = first ? x : greater(acc[v], x);
                else
                    acc[v] = acc[v] + x;
            }
            first = false;
            at += pool.dilation_w * pool.channels;
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) save_some(out + v * lanes, maximum ? acc[v] : acc[v] / broadcast(count), width - v * lanes);
}

// Of the taps that start at `start`, one `dilation` after the other: those inside 0..size.
inline Span inside(std::int64_t start, std::int64_t taps, std::int64_t dilation, std::int64_t size) {
    const std::int64_t end = start + taps * dilation;
    const std::int64_t begin = start >= 0 ? start : start + (-start + dilation - 1) / dilation * dilation;
    return {begin, end < size ? end : size};
}

template <bool maximum>
void pool_lines(const Pool& pool, std::int64_t begin, std::int64_t end) {
    constexpr int most = 4;
    for (std::int64_t line = begin; line < end; ++line) {
        const std::int64_t image = line / pool.out_height, y = line % pool.out_height;
        const float* in = pool.in + image * pool.height * pool.width * pool.channels;
        float* out = pool.out + line * pool.out_width * pool.channels;
        const Span rows = inside(y * pool.stride_h - pool.top, pool.kernel_h, pool.dilation_h, pool.height);
        for (std::int64_t x = 0; x < pool.out_width; ++x) {
            const Span columns = inside(x * pool.stride_w - pool.left, pool.kernel_w, pool.dilation_w, pool.width);
            const auto count = static_cast<float>(pool.count_all ? pool.kernel_h * pool.kernel_w
                                                                 : divide_up(rows.end - rows.begin, pool.dilation_h) *
                                                                       divide_up(columns.end - columns.begin, pool.dilation_w));
            std::int64_t c = 0;
            for (; c + most * lanes <= pool.channels; c += most * lanes)
                pool_pixel<most, maximum>(pool, in + c, rows, columns, count, out + c, most * lanes);
            for (; c < pool.channels; c += lanes)
                pool_pixel<1, maximum>(pool, in + c, rows, columns, count, out + c, pool.channels - c);
            out += pool.channels;
        }
    }
}

void pool(const Pool& job, std::int64_t begin, std::int64_t end) {
    if (job.maximum)
        pool_lines<true>(job, begin, end);
    else
        pool_lines<false>(job, begin, end);
}

}  // namespace
