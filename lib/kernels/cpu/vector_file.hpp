// What every file of vector code begins with: the intrinsics, the tables that it fills in, and INLINE. Used by nothing
// else.
#pragma once

#include <immintrin.h>

// GCC 12's own header passes an undefined vector to every unmasked AVX-512 shuffle and then warns about it.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "kernels/cpu/bodies.hpp"

#define INLINE [[gnu::always_inline]] inline
