// The router of a MoE layer on the CPU: logits, the experts that a row goes to, and the weight of each expert's output.
// Called by layers/block once per MoE layer. A row's result depends on that row alone, and every sum has one order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "base/ids.hpp"
#include "kernels/cpu/stream.hpp"
#include "model/config.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::cpu {

// The picks of each row, best first; ties go to the lowest id. There are always moe.picks different experts in range
// (NaN counts as the lowest value). Weights are in pick order and include every factor. logits: [rows, experts], with
// the router's bias; overwritten with the scores (softmax or sigmoid, no selection bias). SoftmaxOfPicks has no scores:
// logits choose, and stay. selection_bias: [experts], or none; it chooses and never weighs.
// picks and weights are [rows, picks].
void route(Stream& stream, const model::Moe& moe, Vector<const float> selection_bias, Rows<float> logits,
           Rows<GlobalExpert> picks, Rows<float> weights);

class Router {
 public:
  Router(Stream& stream, const model::ModelConfig& config);

  void reserve(std::size_t rows);
  // Logits of rows [rows, hidden], which are unrounded; they stay in scores() until the next call.
  void run_logits(const model::MoeWeights& weights, Rows<const float> rows);
  // Picks and weights from the logits, which become scores; picks are counted for the layer.
  void route(const model::MoeWeights& weights, LayerId layer, Rows<GlobalExpert> picks, Rows<float> pick_weights);
  Rows<const float> scores() const { return scores_.rows(rows_, moe_.experts); }  // [rows, experts]
  // Picks so far: [MoE layers, experts].
  std::span<const std::uint64_t> counts() const { return counts_; }
  std::uint64_t workspace_bytes() const { return scores_.capacity_bytes() + part_.capacity_bytes(); }

 private:
  Stream& stream_;
  const model::Moe moe_;
  std::size_t rows_ = 0;
  Buffer<float> scores_;              // [rows, experts]
  Buffer<float> part_;                // [rows, experts] of a router in several parts
  std::vector<std::size_t> counted_;  // [layers] where a layer's counts begin
  std::vector<std::uint64_t> counts_;
};

}  // namespace moemill::cpu
