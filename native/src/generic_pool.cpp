// max_pool and avg_pool: floats in the kernel's vectors, bits in words.
#include <algorithm>

#include "generic.hpp"

namespace onebit {

namespace {

kernel::Pool pool_of(const Call& call) {
    const Shape &in = *call.in[0].shape, &out = *call.out.shape;
    const auto &kernel = call.node.integers("kernel"), &stride = call.node.integers("stride"), &padding = call.node.integers("padding");
    kernel::Pool pool{.height = in[1],          .width = in[2],         .channels = in[3],      .out_height = out[1],
                      .out_width = out[2],      .kernel_h = kernel[0],  .kernel_w = kernel[1],  .stride_h = stride[0],
                      .stride_w = stride[1],    .top = padding[0],      .left = padding[2],     .dilation_h = 1,
                      .dilation_w = 1};
    const auto dilation = call.node.attributes.find("dilation");
    if (dilation != call.node.attributes.end()) {
        const auto& d = std::get<std::vector<std::int64_t>>(dilation->second);
        pool.dilation_h = d[0], pool.dilation_w = d[1];
    }
    return pool;
}

// Lines of the output, and what they cost.
template <class Body>
void divide_lines(const Call& call, const kernel::Pool& pool, std::int64_t cost, const Body& body) {
    const std::int64_t images = (*call.out.shape)[0];
    call.threads.divide(images * pool.out_height, element_count(*call.out.shape) * pool.kernel_h * pool.kernel_w / cost, body);
}

void pool_floats(const Call& call, kernel::Pool pool) {
    pool.in = call.in[0].as<const float>();
    pool.out = call.out.as<float>();
    divide_lines(call, pool, 1, [&](std::int64_t begin, std::int64_t end) { call.table.pool(pool, begin, end); });
}

// The largest of -1 and +1 is OR.
void pool_bits(const Call& call, const kernel::Pool& pool) {
    const std::int64_t words = words_of(pool.channels);
    const auto* in = call.in[0].as<const std::uint32_t>();
    auto* out = call.out.as<std::uint32_t>();
    // From the start of a window to its first tap that is not before the map: taps in the padding take no time.
    const auto first_inside = [](std::int64_t start, std::int64_t dilation) {
        return start >= 0 ? 0 : (-start + dilation - 1) / dilation * dilation;
    };
    divide_lines(call, pool, 8, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t line = first; line < last; ++line) {
            const std::int64_t image = line / pool.out_height, y = line % pool.out_height * pool.stride_h - pool.top;
            for (std::int64_t column = 0; column < pool.out_width; ++column) {
                const std::int64_t x = column * pool.stride_w - pool.left;
                std::uint32_t* to = out + (line * pool.out_width + column) * words;
                std::fill_n(to, words, 0u);
                for (std::int64_t row = y + first_inside(y, pool.dilation_h); row < std::min(pool.height, y + pool.kernel_h * pool.dilation_h);
                     row += pool.dilation_h)
                    for (std::int64_t at = x + first_inside(x, pool.dilation_w); at < std::min(pool.width, x + pool.kernel_w * pool.dilation_w);
                         at += pool.dilation_w) {
                        const std::uint32_t* from = in + ((image * pool.height + row) * pool.width + at) * words;
                        for (std::int64_t w = 0; w < words; ++w) to[w] |= from[w];
                    }
            }
        }
    });
}

void max_pool(const Call& call) {
    kernel::Pool pool = pool_of(call);
    pool.maximum = true;
    if (call.out.dtype == DType::bit)
        pool_bits(call, pool);
    else
        pool_floats(call, pool);
}

void avg_pool(const Call& call) {
    kernel::Pool pool = pool_of(call);
    pool.count_all = call.node.flag("count_include_pad");
    pool_floats(call, pool);
}

}  // namespace

std::span<const Generic> pool_kinds() {
    static const Generic kinds[] = {{"max_pool", max_pool, true}, {"avg_pool", avg_pool}};
    return kinds;
}

}  // namespace onebit
