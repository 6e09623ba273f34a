// What the engine takes for granted about processor and compiler, checked where it is compiled. Macros only: this must say its
// sentence even where no standard library for the target is installed.
#pragma once

#ifndef __GNUC__
#error "onebit needs GCC or Clang: the kernels are written with their vector types"
#endif
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "onebit needs a little-endian processor: packed files are little endian and are read as they stand"
#endif
#if __SIZEOF_POINTER__ < 8 || __SIZEOF_SIZE_T__ < 8
#error "onebit needs a 64-bit processor: sizes of tensors are checked as 64-bit numbers and then used as addresses"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "onebit needs float arithmetic that rounds to float after every operation (FLT_EVAL_METHOD 0)"
#endif
#if defined(__FAST_MATH__) || __FINITE_MATH_ONLY__
#error "onebit must be compiled without -ffast-math: docs/kinds.md defines every rounding, and what NaN and -0.0 give"
#endif
