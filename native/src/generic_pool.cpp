// max_pool and avg_pool: taps inside the map, row-major; all channels of a pixel at once.
#include <algorithm>
#include <cstring>

#include "elementary.hpp"
#include "generic.hpp"

namespace onebit {

namespace {

struct Window {
    std::int64_t height, width, out_height, out_width, images;
    std::int64_t kernel_h, kernel_w, stride_h, stride_w, top, bottom, left, right, dilation_h = 1, dilation_w = 1;

    explicit Window(const Call& call) {
        const Shape &in = *call.in[0].shape, &out = *call.out.shape;
        images = in[0], height = in[1], width = in[2], out_height = out[1], out_width = out[2];
        const auto &kernel = call.node.integers("kernel"), &stride = call.node.integers("stride"),
                   &padding = call.node.integers("padding");
        kernel_h = kernel[0], kernel_w = kernel[1], stride_h = stride[0], stride_w = stride[1];
        top = padding[0], bottom = padding[1], left = padding[2], right = padding[3];
        const auto dilation = call.node.attributes.find("dilation");
        if (dilation != call.node.attributes.end()) {
            const auto& d = std::get<std::vector<std::int64_t>>(dilation->second);
            dilation_h = d[0], dilation_w = d[1];
        }
    }

    // From the start of a window to its first tap that is not before the map: taps in the padding take no time.
    static std::int64_t first_inside(std::int64_t start, std::int64_t dilation) {
        return start >= 0 ? 0 : (-start + dilation - 1) / dilation * dilation;
    }

    // For every output pixel: start(pixel), then tap(pixel, input pixel) for each tap inside, then end(pixel, taps inside).
    template <class Start, class Tap, class End>
    void run(Threads& threads, std::int64_t work, const Start& start, const Tap& tap, const End& end) const {
        threads.divide(images * out_height, work, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t line = first; line < last; ++line) {
                const std::int64_t image = line / out_height, y = line % out_height * stride_h - top;
                for (std::int64_t column = 0; column < out_width; ++column) {
                    const std::int64_t pixel = line * out_width + column, x = column * stride_w - left;
                    start(pixel);
                    std::int64_t inside = 0;
                    for (std::int64_t row = y + first_inside(y, dilation_h); row < std::min(height, y + kernel_h * dilation_h); row += dilation_h)
                        for (std::int64_t at = x + first_inside(x, dilation_w); at < std::min(width, x + kernel_w * dilation_w); at += dilation_w)
                            tap(pixel, (image * height + row) * width + at, inside++ == 0);
                    end(pixel, inside);
                }
            }
        });
    }
};

// The channels of one pixel; pointers that do not overlap and a count by value, so that the compiler sees a plain loop.
template <class Function>
inline void each_channel(float* __restrict to, const float* __restrict from, std::int64_t channels, Function function) {
    for (std::int64_t c = 0; c < channels; ++c) to[c] = function(to[c], from[c]);
}

inline void divide(float* to, std::int64_t channels, float count) {
    for (std::int64_t c = 0; c < channels; ++c) to[c] = to[c] / count;
}

void max_pool(const Call& call) {
    const Window window(call);
    const std::int64_t channels = channels_of(*call.out.shape);
    const std::int64_t work = element_count(*call.out.shape) * window.kernel_h * window.kernel_w;
    if (call.out.dtype == DType::bit) {
        const std::int64_t words = words_of(channels);
        const auto* in = call.in[0].as<const std::uint32_t>();
        auto* out = call.out.as<std::uint32_t>();
        window.run(
            call.threads, work / 8, [](std::int64_t) {},
            [&](std::int64_t pixel, std::int64_t from, bool first) {
                for (std::int64_t w = 0; w < words; ++w)
                    out[pixel * words + w] = first ? in[from * words + w] : out[pixel * words + w] | in[from * words + w];
            },
            [](std::int64_t, std::int64_t) {});
        return;
    }
    const float* in = call.in[0].as<const float>();
    float* out = call.out.as<float>();
    window.run(
        call.threads, work, [](std::int64_t) {},
        [&](std::int64_t pixel, std::int64_t from, bool first) {
            float* to = out + pixel * channels;
            const float* x = in + from * channels;
            if (first)
                std::copy_n(x, channels, to);
            else
                each_channel(to, x, channels, [](float a, float b) { return maximum(a, b); });
        },
        [](std::int64_t, std::int64_t) {});
}

void avg_pool(const Call& call) {
    const Window window(call);
    const std::int64_t channels = channels_of(*call.out.shape);
    const bool all = call.node.flag("count_include_pad");
    const float* in = call.in[0].as<const float>();
    float* out = call.out.as<float>();
    window.run(
        call.threads, element_count(*call.out.shape) * window.kernel_h * window.kernel_w,
        [&](std::int64_t pixel) { std::fill_n(out + pixel * channels, channels, 0.0f); },
        [&](std::int64_t pixel, std::int64_t from, bool) {
            each_channel(out + pixel * channels, in + from * channels, channels, [](float a, float b) { return a + b; });
        },
        [&](std::int64_t pixel, std::int64_t inside) {
            divide(out + pixel * channels, channels, static_cast<float>(all ? window.kernel_h * window.kernel_w : inside));
        });
}

}  // namespace

std::span<const Generic> pool_kinds() {
    static const Generic kinds[] = {{"max_pool", max_pool, true}, {"avg_pool", avg_pool}};
    return kinds;
}

}  // namespace onebit
