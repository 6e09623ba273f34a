// exp, tanh and erf of float32 in the operations and the order of src/onebit/ir/elementary.py, one rounding each.
#pragma once

#include <bit>
#include <cstdint>

namespace onebit {

inline float power_of_two(std::int32_t k) { return std::bit_cast<float>(static_cast<std::uint32_t>(k + 127) << 23); }

// Without a branch, so that compilers can make vectors of it: NaN goes through as -104 and is put back at the end.
inline float exp(float x) {
    float c = x > -104.0f ? x : -104.0f;
    c = c < 89.0f ? c : 89.0f;
    float n = c * 0x1.715476p+0f;
    n = n + 0x1.8p+23f;
    n = n - 0x1.8p+23f;
    float r = c - n * 0x1.62e4p-1f;
    r = r - n * 0x1.7f7d1cp-20f;
    float p = 0x1.a01a02p-13f * r + 0x1.6c16c2p-10f;
    p = p * r + 0x1.111112p-7f;
    p = p * r + 0x1.555556p-5f;
    p = p * r + 0x1.555556p-3f;
    p = p * r + 0x1p-1f;
    p = p * r;
    p = p * r;
    p = p + r;
    p = p + 1.0f;
    const auto k = static_cast<std::int32_t>(n);
    const std::int32_t half = k >> 1;
    p = p * power_of_two(half) * power_of_two(k - half);
    return x != x ? x : p;
}

inline float magnitude(float x) { return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0x7fffffffu); }

inline float with_sign_of(float y, float x) {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) | (std::bit_cast<std::uint32_t>(x) & 0x80000000u));
}

inline float tanh(float x) {
    if (x != x) return x;
    const float a = magnitude(x);
    float y;
    if (a < 0.625f) {
        const float z = a * a;
        float p = 0x1.197aeep-9f * z + -0x1.0c212p-7f;
        p = p * z + 0x1.6394d2p-6f;
        p = p * z + -0x1.b9ef7cp-5f;
        p = p * z + 0x1.11106cp-3f;
        p = p * z + -0x1.555554p-2f;
        p = p * z;
        p = p * a;
        y = a + p;
    } else {
        const float e = exp(a + a) + 1.0f;
        y = 1.0f - 2.0f / e;
    }
    return with_sign_of(y, x);
}

inline float erf(float x) {
    if (x != x) return x;
    const float a = magnitude(x);
    float y;
    if (a < 0.875f) {
        const float z = a * a;
        float p = 0x1.6cdc66p-14f * z + -0x1.aec89ep-11f;
        p = p * z + 0x1.5542a4p-8f;
        p = p * z + -0x1.b81a72p-6f;
        p = p * z + 0x1.ce2e8ep-4f;
        p = p * z + -0x1.812744p-2f;
        p = p * z + 0x1.06eba8p-3f;
        p = p * a;
        y = a + p;
    } else {
        const float b = a < 4.0f ? a : 4.0f;
        float p = -0x1.58d806p-16f * b + 0x1.c107bcp-12f;
        p = p * b + -0x1.0f61eep-8f;
        p = p * b + 0x1.9a43a4p-6f;
        p = p * b + -0x1.bb04aep-4f;
        p = p * b + -0x1.445468p-1f;
        p = p * b + -0x1.21245ep+0f;
        p = p * b + 0x1.571174p-13f;
        y = 1.0f - exp(p);
    }
    return with_sign_of(y, x);
}

inline float maximum(float a, float b) { return a > b || a != a ? a : b; }
inline float minimum(float a, float b) { return a < b || a != a ? a : b; }

}  // namespace onebit
