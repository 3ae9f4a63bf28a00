// Which values of a stored FP8 matrix share a scale: publishers keep one a block, one a row or one a matrix, and say so
// by the shape of the scales. Private to model/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.hpp"

namespace moemill::model {

// Matrices behind one another in a fused tensor, and the halves of one that was made of two, begin blocks of their own.
struct ScaleGrid {
  std::uint64_t group_rows = 0;    // of values, that begin a block of their own
  std::uint64_t group_scales = 0;  // rows of scales that these have
  std::uint32_t block_rows = 0, block_columns = 0;
};

// For values of shape [rows, columns] or [matrices, rows, columns]. Empty where scales of that shape have no meaning,
// or two.
std::optional<ScaleGrid> scale_grid(const std::vector<std::uint64_t>& values, const std::vector<std::uint64_t>& scales,
                                    const Quantization& quantization);
// The shapes that have one, for messages: "[2, 3] (a scale a block), [192, 1] (a row) or [1] (a matrix)".
std::string scale_shapes(const std::vector<std::uint64_t>& values, const Quantization& quantization);

}  // namespace moemill::model
