// Router logits to picks and weights: which experts a row goes to and what each one's output is multiplied by. Called
// by the block once a MoE layer. Layout-free: a row's result depends on its logits alone, every sum has one order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ids.hpp"
#include "kernels/stream.hpp"
#include "model/config.hpp"

namespace moemill::layers {

// Picks of `rows` rows: best first by the value compared, ties to the lowest id; always moe.picks different experts in
// range (NaN counts as the lowest value). Weights are in pick order, every factor included.
// logits: [rows, experts], with the router's bias, row r at logits + r * stride; overwritten with the scores (softmax
// or sigmoid, no selection bias). SoftmaxOfPicks has no scores: logits choose, and stay. selection_bias: [experts], or
// null where the model has none; it chooses and never weighs.
void route(cpu::Stream& stream, const model::Moe& moe, const float* selection_bias, float* logits, std::size_t stride,
           std::size_t rows, std::span<GlobalExpert> picks /* [rows, picks] */,
           std::span<float> weights /* [rows, picks] */);

// counts[expert] += 1 for every pick.
void count_picks(std::span<const GlobalExpert> picks, std::span<std::uint64_t> counts);

}  // namespace moemill::layers
