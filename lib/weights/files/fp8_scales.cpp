#include "weights/files/fp8_scales.hpp"

#include <fmt/format.h>

#include "base/numbers/rounding.hpp"
#include "weights/files/safetensors.hpp"

namespace moemill::model {

namespace {

// A scale per block, where every group of rows begins a block.
std::optional<ScaleGrid> blocks(std::uint64_t rows, std::uint64_t columns, std::uint64_t group_rows,
                                std::uint64_t scale_rows, std::uint64_t scale_columns, const Quantization& q) {
  const std::uint64_t group_scales = divide_up<std::uint64_t>(group_rows, q.block_rows);
  if (scale_rows != rows / group_rows * group_scales ||
      scale_columns != divide_up<std::uint64_t>(columns, q.block_columns))
    return {};
  return ScaleGrid{group_rows, group_scales, q.block_rows, q.block_columns};
}

}  // namespace

std::optional<ScaleGrid> scale_grid(const std::vector<std::uint64_t>& values, const std::vector<std::uint64_t>& scales,
                                    const Quantization& q) {
  const bool fused = values.size() == 3;
  const std::uint64_t rows = values[values.size() - 2], columns = values.back();
  std::vector<std::uint64_t> own = scales;  // the shape for one matrix
  if (fused) {
    if (own.empty() || own[0] != values[0]) return {};
    own.erase(own.begin());
  }
  if (own.size() > 2 || rows == 0 || columns == 0) return {};
  own.resize(2, 1);
  const std::uint64_t scale_rows = own[0], scale_columns = own[1];
  const bool halves = fused && rows % 2 == 0;
  if (q.block_rows > 0) {
    const auto whole = blocks(rows, columns, rows, scale_rows, scale_columns, q);
    const auto half = halves ? blocks(rows, columns, rows / 2, scale_rows, scale_columns, q) : std::nullopt;
    if (whole && half && rows / 2 % q.block_rows != 0) return {};  // ambiguous
    if (whole || half) return whole ? whole : half;
  }
  if (scale_columns != 1) return {};
  const auto all_columns = static_cast<std::uint32_t>(columns);
  if (scale_rows == 1) return ScaleGrid{rows, 1, static_cast<std::uint32_t>(rows), all_columns};
  if (scale_rows == rows) return ScaleGrid{rows, rows, 1, all_columns};
  if (scale_rows == 2 && halves) return ScaleGrid{rows / 2, 1, static_cast<std::uint32_t>(rows / 2), all_columns};
  return {};
}

std::string scale_shapes(const std::vector<std::uint64_t>& values, const Quantization& q) {
  const std::uint64_t rows = values[values.size() - 2], columns = values.back();
  auto shape = [&](std::uint64_t scale_rows, std::uint64_t scale_columns) {
    std::vector<std::uint64_t> s = {scale_rows, scale_columns};
    if (values.size() == 3) s.insert(s.begin(), values[0]);
    return shape_text(s);
  };
  std::string text;
  if (q.block_rows > 0) {
    text = fmt::format(
        "{} (a scale per block of {} x {}), ",
        shape(divide_up<std::uint64_t>(rows, q.block_rows), divide_up<std::uint64_t>(columns, q.block_columns)),
        q.block_rows, q.block_columns);
  }
  return text + fmt::format("{} (a scale per row) or {} (a scale per matrix)", shape(rows, 1), shape(1, 1));
}

}  // namespace moemill::model
