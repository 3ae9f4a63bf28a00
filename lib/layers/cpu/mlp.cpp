// Dense layers and shared experts.
#include <algorithm>

#include "base/error.hpp"
#include "layers/cpu/experts.hpp"
#include "layers/working_set.hpp"

namespace moemill::cpu {

// Calls finish(first, down) for every part of the rows: down is [rows of the part, hidden], the MLP's output.
template <class Finish>
void Experts::for_each_part(const model::MlpWeights& weights, Rows<const bf16> x, Finish&& finish) {
  if (weights.width == 0) return;
  expect(!weights.gate_up_bias && !weights.down_bias, "mlp: only routed experts have biases");
  const std::size_t inner_width = weights.gate_up.n, hidden = weights.down.n, width = weights.width;
  const std::size_t most = std::min(x.rows, layers::mlp_piece_rows({inner_width, width, hidden}));
  const std::size_t gate_up_stride = layers::row_stride(inner_width), down_stride = layers::row_stride(hidden);
  gate_up_.reserve(most * gate_up_stride), inner_.reserve(most * width), down_.reserve(most * down_stride);
  for (std::size_t first = 0; first < x.rows; first += most) {
    const std::size_t rows = std::min(most, x.rows - first);
    const Rows<float> gate_up = gate_up_.rows(rows, inner_width, gate_up_stride);
    const Rows<float> down = down_.rows(rows, hidden, down_stride);
    const Rows<bf16> inner = inner_.rows(rows, width);
    PassScope scope(stream_.passes(), Pass::Products);
    gemm(stream_, x.range(first, rows), weights.gate_up, gate_up);
    scope.change(Pass::Activations);
    swiglu(stream_, gate_up.columns(0, width), gate_up.columns(weights.up_offset, width), inner);
    scope.change(Pass::Products);
    gemm(stream_, inner, weights.down, down);
    scope.change(Pass::Norms);
    finish(first, Rows<const float>(down));
  }
}

void Experts::add_mlp(const model::MlpWeights& weights, Rows<const bf16> x, Rows<float> out) {
  for_each_part(weights, x, [&](std::size_t first, Rows<const float> down) {
    add_rows(stream_, out.range(first, down.rows), down);
  });
}

void Experts::add_scaled_mlp(const model::MlpWeights& weights, Rows<const bf16> x, Vector<const float> factors,
                             Rows<float> out) {
  for_each_part(weights, x, [&](std::size_t first, Rows<const float> down) {
    add_scaled_rows(stream_, out.range(first, down.rows), down, factors.range(first, down.rows));
  });
}

std::uint64_t Experts::workspace_bytes() const {
  return gate_up_.capacity_bytes() + inner_.capacity_bytes() + down_.capacity_bytes() +
         pieces_.capacity() * sizeof(Piece);
}

}  // namespace moemill::cpu
