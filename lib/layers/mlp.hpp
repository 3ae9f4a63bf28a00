// The gated MLP: down(silu(gate(x)) * up(x)). Serves dense layers and shared experts; the block calls it.
// Definition: x is bf16, silu(gate) * up is rounded to bf16, down's output stays fp32, also where a factor multiplies
// it. These MLPs have no biases in any family; routed experts (layers/experts) do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "base/bf16.hpp"
#include "kernels/gemm.hpp"
#include "kernels/stream.hpp"
#include "weights/weights.hpp"

namespace moemill::layers {

// Workspace of MLPs and experts, grow-only and bounded whatever the number of rows; one a rank is enough.
struct MlpScratch {
  AlignedBuffer<float> gate_up;  // [rows of a piece, gate_up.n]
  AlignedBuffer<bf16> inner;     // [rows of a piece, width]
  AlignedBuffer<float> down;     // [rows of a piece, hidden]
  AlignedBuffer<bf16> rounded;   // [rows of a piece, hidden], of routed experts
  std::vector<cpu::GemmProblem<cpu::RowsBf16>> problems;
  std::vector<const float*> biases;  // [rows of a piece], of routed experts
  std::uint64_t bytes() const {
    return gate_up.capacity_bytes() + inner.capacity_bytes() + down.capacity_bytes() + rounded.capacity_bytes() +
           biases.capacity() * sizeof(const float*);
  }
};

// out[r] += mlp(x[r]) for r in [0, rows); out is fp32 [rows, hidden]. A width of 0 adds nothing.
void add_mlp(cpu::Stream& stream, const model::MlpWeights& weights, cpu::RowsBf16 x, std::size_t rows, float* out,
             std::size_t out_stride, MlpScratch& scratch);
// out[r] += factors[r] * mlp(x[r]), one fma: a shared expert with its gate.
void add_scaled_mlp(cpu::Stream& stream, const model::MlpWeights& weights, cpu::RowsBf16 x, std::size_t rows,
                    const float* factors, float* out, std::size_t out_stride, MlpScratch& scratch);

}  // namespace moemill::layers
