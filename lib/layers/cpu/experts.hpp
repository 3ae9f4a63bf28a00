// The gated MLPs of a rank: dense layers, shared experts, and the routed experts over the rows that the rank received.
// Called by layers/block.
// Definition: down(activation(gate(x), up(x))). x is bf16; products, biases and the activation are fp32; the inner
// values are rounded to bf16. The output of a dense or shared MLP stays fp32, also where a factor multiplies it; a
// routed expert's, after down's bias, is rounded to bf16, because it is sent back. Only routed experts have biases.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "kernels/cpu/stream.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "layers/dispatch/received_rows.hpp"
#include "model/config.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::cpu {

class Experts {
 public:
  Experts(Stream& stream, const model::Moe& moe) : stream_(stream), moe_(moe) {}

  // out[r] += mlp(x[r]). x and out are [rows, hidden]. A width of 0 adds nothing.
  void add_mlp(const model::MlpWeights& weights, Rows<const bf16> x, Rows<float> out);
  // out[r] += factors[r] * mlp(x[r]), one fma: a shared expert with its gate.
  void add_scaled_mlp(const model::MlpWeights& weights, Rows<const bf16> x, Vector<const float> factors,
                      Rows<float> out);
  // Every pair's output, rounded to bf16, at its place. experts: of this rank, in the order of received.expert_begin.
  void run(std::span<const model::MlpWeights> experts, const layers::ReceivedRows<>& received);
  std::uint64_t workspace_bytes() const;

 private:
  template <class Finish>
  void for_each_part(const model::MlpWeights& weights, Rows<const bf16> x, Finish&& finish);
  void activate(const model::MlpWeights& shape, Rows<const float> gate_up, Rows<bf16> inner);

  // What a product's epilogue needs of an expert's pairs.
  struct Piece {
    const model::MlpWeights* weights;
    Vector<const std::uint32_t> place;  // of each pair's output
  };

  Stream& stream_;
  const model::Moe moe_;
  // Workspaces, grow-only and bounded whatever the number of rows.
  Buffer<float> gate_up_;  // [rows of a part, gate_up.n]
  Buffer<bf16> inner_;     // [rows of a part, width]
  Buffer<float> down_;     // [rows of a part, hidden]
  std::vector<GemmProblem<bf16>> problems_;
  std::vector<Piece> pieces_;  // [problems]
};

}  // namespace moemill::cpu
