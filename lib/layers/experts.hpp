// The routed experts of one rank over the rows it received: every pair's output, rounded to bf16, at its place.
// Called by the block between receive_dispatch and send_combine.
#pragma once

#include <span>

#include "kernels/stream.hpp"
#include "layers/exchange.hpp"
#include "layers/mlp.hpp"
#include "weights/weights.hpp"

namespace moemill::layers {

// Definition: x is bf16; products, biases and the activation are fp32; the inner values are rounded to bf16, and so is
// what goes home, after down's bias.
// moe: of the model, for the activation. experts: this rank's slice, by LocalExpert.
void run_experts(cpu::Stream& stream, const model::Moe& moe, std::span<const model::MlpWeights> experts,
                 const ReceivedRows& received, MlpScratch& scratch);

}  // namespace moemill::layers
