// How far rows of a matrix lie apart that a product writes: whole vectors of 16 values, and not a multiple of 4 KiB, at
// which rows would fall on the same cache sets. Used by the layers for their workspaces, and by the planner.
#pragma once

#include <cstddef>

#include "base/numbers/rounding.hpp"

namespace moemill::layers {

inline std::size_t row_stride(std::size_t width) { return round_up(width, std::size_t{16}) + 16; }

}  // namespace moemill::layers
