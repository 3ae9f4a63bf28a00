// How far rows of a wide matrix lie apart: whole vectors, and no multiple of 4 KiB, because such rows would fall on the
// same cache sets.
#pragma once

#include <cstddef>

#include "base/rounding.hpp"

namespace moemill::cpu {

inline std::size_t padded_stride(std::size_t width) { return round_up(width, std::size_t{16}) + 16; }

}  // namespace moemill::cpu
