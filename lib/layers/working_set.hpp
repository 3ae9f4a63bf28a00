// How many rows the MLPs and the routed experts work on at a time, and the workspace that this takes. The layers ask it
// when they compute, and plan/footprint when nothing is loaded yet, so that both mean the same.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "layers/row_stride.hpp"

namespace moemill::layers {

// Columns of an MLP's products.
struct MlpShape {
  std::size_t gate_up = 0;  // of the product that makes gate and up, padding between them included
  std::size_t width = 0;    // of the inner values
  std::size_t hidden = 0;
};

// Rows of an MLP at a time: enough that reading the weights again for the next piece costs little, few enough that the
// intermediates stay within about 4 MiB.
inline std::size_t mlp_piece_rows(const MlpShape& shape) {
  constexpr std::size_t intermediate_bytes = std::size_t{4} << 20;
  const std::size_t row_bytes = std::max(shape.gate_up, shape.hidden) * sizeof(float);
  return std::clamp<std::size_t>(intermediate_bytes / row_bytes, 128, 1024);
}

// Rows of routed experts at a time. Experts are worked through in groups whose intermediates stay in the cores' own
// caches: gate_up, swiglu and down of a group follow each other, and within a group the team balances over all experts.
inline std::size_t expert_group_rows(const MlpShape& shape, int threads) {
  constexpr std::size_t intermediate_bytes = std::size_t{1} << 20;  // per thread
  const std::size_t row_bytes = (shape.gate_up + shape.hidden) * sizeof(float);
  return std::max<std::size_t>(64, intermediate_bytes / row_bytes) * static_cast<std::size_t>(threads);
}

// Values in each buffer of cpu::Experts. Dense MLPs, shared and routed experts use the same buffers, one after the
// other: each buffer is as large as the largest user of it, which need not be the same user for all.
struct MlpScratchSize {
  std::size_t gate_up = 0;  // fp32
  std::size_t inner = 0;    // bf16
  std::size_t down = 0;     // fp32

  static MlpScratchSize of_mlp(const MlpShape& shape, std::size_t rows) {
    const std::size_t piece = std::min(rows, mlp_piece_rows(shape));
    return {piece * row_stride(shape.gate_up), piece * shape.width, piece * row_stride(shape.hidden)};
  }
  // `pairs`: of a row and one of its experts.
  static MlpScratchSize of_experts(const MlpShape& shape, std::size_t pairs, int threads) {
    const std::size_t group = std::min(pairs, expert_group_rows(shape, threads));
    return {group * row_stride(shape.gate_up), group * shape.width, group * row_stride(shape.hidden)};
  }
  void cover(const MlpScratchSize& user) {
    gate_up = std::max(gate_up, user.gate_up), inner = std::max(inner, user.inner);
    down = std::max(down, user.down);
  }
  std::uint64_t bytes() const { return 4 * (gate_up + down) + 2 * inner; }
};

}  // namespace moemill::layers
