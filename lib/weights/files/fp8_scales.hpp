// Which values of a stored FP8 matrix share a scale. Publishers store a scale per block, per row or per matrix; the
// shape of the scales shows which. Private to weights/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.hpp"

namespace moemill::model {

// Rows are grouped: each matrix of a fused tensor, or each half of one that was made of two, begins blocks of its own.
struct ScaleGrid {
  std::uint64_t group_rows = 0;    // rows of values per group
  std::uint64_t group_scales = 0;  // rows of scales per group
  std::uint32_t block_rows = 0, block_columns = 0;
};

// The grid of values of shape [rows, columns] or [matrices, rows, columns]. Empty if scales of that shape have no
// meaning, or two.
std::optional<ScaleGrid> scale_grid(const std::vector<std::uint64_t>& values, const std::vector<std::uint64_t>& scales,
                                    const Quantization& quantization);
// The shapes of scales that have a meaning, for messages.
std::string scale_shapes(const std::vector<std::uint64_t>& values, const Quantization& quantization);

}  // namespace moemill::model
