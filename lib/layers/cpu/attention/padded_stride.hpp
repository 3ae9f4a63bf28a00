// How far rows of a matrix lie apart. Kernels store whole vectors of 16 values, and in wide matrices rows at multiples
// of 4 KiB would fall on the same cache sets.
#pragma once

#include <cstddef>

#include "base/numbers/rounding.hpp"
#include "layers/row_stride.hpp"

namespace moemill::cpu {

inline std::size_t whole_vectors(std::size_t width) { return round_up(width, std::size_t{16}); }
inline std::size_t padded_stride(std::size_t width) { return layers::row_stride(width); }

}  // namespace moemill::cpu
