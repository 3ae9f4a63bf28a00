#include "layers/mlp.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "kernels/rows.hpp"
#include "layers/working_set.hpp"

namespace moemill::layers {
namespace {

// Calls finish(first, count, down) for every piece of rows: down is [count, hidden], the MLP's output.
template <class Finish>
void for_each_piece(cpu::Stream& stream, const model::MlpWeights& weights, cpu::RowsBf16 x, std::size_t rows,
                    MlpScratch& scratch, Finish&& finish) {
  if (weights.width == 0) return;
  expect(weights.gate_up_bias == nullptr && weights.down_bias == nullptr, "mlp: only routed experts have biases");
  const std::size_t inner_width = weights.gate_up.n, hidden = weights.down.n, width = weights.width;
  const std::size_t piece = std::min(rows, mlp_piece_rows({inner_width, width, hidden}));
  float* gate_up = scratch.gate_up.reserve(piece * inner_width);
  bf16* inner = scratch.inner.reserve(piece * width);
  float* down = scratch.down.reserve(piece * hidden);

  for (std::size_t first = 0; first < rows; first += piece) {
    std::size_t now = std::min(piece, rows - first);
    cpu::RowsBf16 part = x;
    if (x.index)
      part.index = x.index + first;
    else
      part.data = x.data + first * x.stride;

    cpu::gemm(stream, part, now, weights.gate_up, gate_up, inner_width);
    cpu::swiglu(stream, gate_up, inner_width, weights.up_offset, now, width, inner, width);
    cpu::gemm(stream, cpu::RowsBf16{inner, width}, now, weights.down, down, hidden);
    finish(first, now, down);
  }
}

}  // namespace

void add_mlp(cpu::Stream& stream, const model::MlpWeights& weights, cpu::RowsBf16 x, std::size_t rows, float* out,
             std::size_t out_stride, MlpScratch& scratch) {
  const std::size_t hidden = weights.down.n;
  for_each_piece(stream, weights, x, rows, scratch, [&](std::size_t first, std::size_t count, const float* down) {
    cpu::add_rows(stream, out + first * out_stride, out_stride, down, hidden, count, hidden);
  });
}

void add_scaled_mlp(cpu::Stream& stream, const model::MlpWeights& weights, cpu::RowsBf16 x, std::size_t rows,
                    const float* factors, float* out, std::size_t out_stride, MlpScratch& scratch) {
  const std::size_t hidden = weights.down.n;
  for_each_piece(stream, weights, x, rows, scratch, [&](std::size_t first, std::size_t count, const float* down) {
    cpu::add_scaled_rows(stream, out + first * out_stride, out_stride, down, hidden, factors + first, count, hidden);
  });
}

}  // namespace moemill::layers
