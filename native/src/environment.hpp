// The floating point environment that docs/kinds.md assumes: round to nearest even, denormals kept. Other libraries change it
// (flushing denormals is a common setting), so every thread of the engine sets it and puts back what it found.
#pragma once

#include <cfenv>

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

namespace onebit {

class FloatEnvironment {
public:
#ifdef __SSE2__
    FloatEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
    ~FloatEnvironment() { _mm_setcsr(saved_); }

private:
    unsigned saved_;
#else
    FloatEnvironment() {
        std::fegetenv(&saved_);
        std::fesetenv(FE_DFL_ENV);
    }
    ~FloatEnvironment() { std::fesetenv(&saved_); }

private:
    std::fenv_t saved_;
#endif
public:
    FloatEnvironment(const FloatEnvironment&) = delete;
    FloatEnvironment& operator=(const FloatEnvironment&) = delete;
};

}  // namespace onebit
