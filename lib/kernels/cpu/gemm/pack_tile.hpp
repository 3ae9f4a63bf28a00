// One panel's part of a K block, on its way into the packed layout. Private to kernels/: cpu::pack is made of these.
#pragma once

#include <cstddef>

#include "base/numbers/bf16.hpp"
#include "kernels/matrix.hpp"

namespace moemill::cpu {

// out: [pairs][panel_columns][2] from the first pair of a group on, where `inputs` and `columns` have a source; the
// rest up to whole groups and the whole panel becomes zero. Element (column j, input i) is source[j * column_stride + i
// * input_stride].
struct PackTile {
  PairOrder order;
  bf16* out;
  const bf16* source;
  std::size_t column_stride, input_stride;
  std::size_t columns;  // 1..panel_columns
  std::size_t inputs;
};

void pack_tile(const PackTile& tile);

}  // namespace moemill::cpu
