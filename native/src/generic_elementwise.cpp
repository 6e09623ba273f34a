// Elementwise kinds with broadcasting, conversions and selection.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "broadcast.hpp"
#include "elementary.hpp"
#include "generic.hpp"
#include "text.hpp"

namespace onebit {

namespace {

// Calls function with a value of the C++ type of a dtype (bits are int8 here).
template <class Function>
void by_dtype(DType dtype, const Function& function) {
    switch (dtype) {
        case DType::f32: return function(float{});
        case DType::i8: return function(std::int8_t{});
        case DType::bit:
        case DType::ternary: return function(std::int8_t{});
        case DType::u8: return function(std::uint8_t{});
        case DType::boolean: return function(bool{});
        case DType::i32: return function(std::int32_t{});
        case DType::i64: return function(std::int64_t{});
    }
}

template <class T, class R, class Function>
void binary(const Call& call, const Function& function) {
    const T *a = call.in[0].as<const T>(), *b = call.in[1].as<const T>();
    R* out = call.out.as<R>();
    Walk<2>(*call.out.shape, {*call.in[0].shape, *call.in[1].shape})
        .run([&](std::int64_t at, const auto& offsets, std::int64_t n, const auto& steps) {
            const T *x = a + offsets[0], *y = b + offsets[1];
            for (std::int64_t i = 0; i < n; ++i) out[at + i] = function(x[i * steps[0]], y[i * steps[1]]);
        });
}

// Integers wrap around instead of being undefined; a valid graph never overflows.
template <class T>
auto wrap(T x) {
    if constexpr (std::is_floating_point_v<T>)
        return x;
    else
        return static_cast<std::make_unsigned_t<T>>(x);
}

struct Add {
    template <class T>
    T operator()(T a, T b) const {
        return static_cast<T>(wrap(a) + wrap(b));
    }
};
struct Subtract {
    template <class T>
    T operator()(T a, T b) const {
        return static_cast<T>(wrap(a) - wrap(b));
    }
};
struct Multiply {
    template <class T>
    T operator()(T a, T b) const {
        return static_cast<T>(wrap(a) * wrap(b));
    }
};
struct Maximum {
    template <class T>
    T operator()(T a, T b) const {
        return a > b || a != a ? a : b;
    }
};
struct Minimum {
    template <class T>
    T operator()(T a, T b) const {
        return a < b || a != a ? a : b;
    }
};

template <class Function>
void arithmetic(const Call& call) {
    switch (call.out.dtype) {
        case DType::f32: return binary<float, float>(call, Function{});
        case DType::i32: return binary<std::int32_t, std::int32_t>(call, Function{});
        default: return binary<std::int64_t, std::int64_t>(call, Function{});
    }
}

void divide(const Call& call) {
    binary<float, float>(call, [](float a, float b) { return a / b; });
}

void logical_and(const Call& call) {
    binary<bool, bool>(call, [](bool a, bool b) { return a && b; });
}

void logical_or(const Call& call) {
    binary<bool, bool>(call, [](bool a, bool b) { return a || b; });
}

void compare(const Call& call) {
    const std::string& op = call.node.text("op");
    by_dtype(call.in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        if (op == "eq") return binary<T, bool>(call, [](T a, T b) { return a == b; });
        if (op == "ne") return binary<T, bool>(call, [](T a, T b) { return a != b; });
        if (op == "lt") return binary<T, bool>(call, [](T a, T b) { return a < b; });
        if (op == "le") return binary<T, bool>(call, [](T a, T b) { return a <= b; });
        if (op == "gt") return binary<T, bool>(call, [](T a, T b) { return a > b; });
        return binary<T, bool>(call, [](T a, T b) { return a >= b; });
    });
}

void where(const Call& call) {
    by_dtype(call.out.dtype, [&](auto zero) {
        using T = decltype(zero);
        const bool* condition = call.in[0].as<const bool>();
        const T *a = call.in[1].as<const T>(), *b = call.in[2].as<const T>();
        T* out = call.out.as<T>();
        Walk<3>(*call.out.shape, {*call.in[0].shape, *call.in[1].shape, *call.in[2].shape})
            .run([&](std::int64_t at, const auto& offsets, std::int64_t n, const auto& steps) {
                for (std::int64_t i = 0; i < n; ++i)
                    out[at + i] = condition[offsets[0] + i * steps[0]] ? a[offsets[1] + i * steps[1]] : b[offsets[2] + i * steps[2]];
            });
    });
}

void broadcast_to(const Call& call) {
    by_dtype(call.out.dtype, [&](auto zero) {
        using T = decltype(zero);
        const T* x = call.in[0].as<const T>();
        T* out = call.out.as<T>();
        Walk<1>(*call.out.shape, {*call.in[0].shape}).run([&](std::int64_t at, const auto& offsets, std::int64_t n, const auto& steps) {
            for (std::int64_t i = 0; i < n; ++i) out[at + i] = x[offsets[0] + i * steps[0]];
        });
    });
}

template <class Function>
void unary(const Call& call, const Function& function) {
    const float* x = call.in[0].as<const float>();
    float* out = call.out.as<float>();
    const std::int64_t n = element_count(*call.out.shape);
    call.threads.divide(n, n, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) out[i] = function(x[i]);
    });
}

template <class Function>
void simple(const Call& call) {
    unary(call, Function{});
}

struct Negate {
    float operator()(float x) const { return -x; }
};
struct Absolute {
    float operator()(float x) const { return magnitude(x); }
};
struct SquareRoot {
    float operator()(float x) const { return std::sqrt(x); }
};
struct Exp {
    float operator()(float x) const { return exp(x); }
};
struct Tanh {
    float operator()(float x) const { return tanh(x); }
};
struct Erf {
    float operator()(float x) const { return erf(x); }
};
struct Sigmoid {
    float operator()(float x) const { return 1.0f / (1.0f + exp(-x)); }
};
struct Relu {
    float operator()(float x) const { return maximum(x, 0.0f); }
};

void clip(const Call& call) {
    const auto low = static_cast<float>(call.node.real("low")), high = static_cast<float>(call.node.real("high"));
    unary(call, [=](float x) { return x < low ? low : (x > high ? high : x); });
}

void logical_not(const Call& call) {
    const std::int64_t n = element_count(*call.out.shape);
    for (std::int64_t i = 0; i < n; ++i) call.out.as<bool>()[i] = !call.in[0].as<const bool>()[i];
}

template <class To, class From>
To convert(From x) {
    if constexpr (std::is_same_v<To, bool>) {
        return x != From{};
    } else if constexpr (std::is_same_v<From, float> && std::is_integral_v<To>) {
        const float whole = std::trunc(x);
        constexpr auto low = static_cast<float>(std::numeric_limits<To>::min());
        constexpr float above = static_cast<float>(std::numeric_limits<To>::max() / 2 + 1) * 2.0f;
        return whole >= low && whole < above ? static_cast<To>(whole) : To{};
    } else {
        return static_cast<To>(x);
    }
}

void cast(const Call& call) {
    const std::int64_t n = element_count(*call.out.shape);
    by_dtype(call.in[0].dtype, [&](auto from) {
        by_dtype(call.out.dtype, [&](auto to) {
            const auto* x = call.in[0].as<const decltype(from)>();
            auto* out = call.out.as<decltype(to)>();
            for (std::int64_t i = 0; i < n; ++i) out[i] = convert<decltype(to)>(x[i]);
        });
    });
}

// The pointwise program handles these where the operand is a constant vector or of one shape; this is the rest.
void prelu(const Call& call) {
    binary<float, float>(call, [](float x, float slope) { return x > 0 ? x : x * slope; });
}

}  // namespace

std::span<const Generic> elementwise_kinds() {
    static const Generic kinds[] = {
        {"add", arithmetic<Add>},
        {"sub", arithmetic<Subtract>},
        {"mul", arithmetic<Multiply>},
        {"max", arithmetic<Maximum>},
        {"min", arithmetic<Minimum>},
        {"div", divide},
        {"compare", compare},
        {"logical_and", logical_and},
        {"logical_or", logical_or},
        {"logical_not", logical_not},
        {"where", where},
        {"broadcast_to", broadcast_to},
        {"neg", simple<Negate>},
        {"abs", simple<Absolute>},
        {"sqrt", simple<SquareRoot>},
        {"exp", simple<Exp>},
        {"tanh", simple<Tanh>},
        {"erf", simple<Erf>},
        {"sigmoid", simple<Sigmoid>},
        {"relu", simple<Relu>},
        {"clip", clip},
        {"prelu", prelu},
        {"cast", cast},
    };
    return kinds;
}

const Generic& find_generic(std::string_view kind) {
    for (const auto kinds : {elementwise_kinds(), shape_kinds(), float_kinds(), pool_kinds()})
        for (const Generic& generic : kinds)
            if (generic.kind == kind) return generic;
    throw std::invalid_argument("the engine does not have the kind " + std::string(kind));
}

}  // namespace onebit
