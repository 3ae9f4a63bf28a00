// What one step of a whole model needs by the model's definition: operations, and bytes that the ranks have to read.
// Used by bench/end_to_end_bench.
#pragma once

#include <cstdint>
#include <span>

#include "model/config.hpp"

namespace moemill::bench {

enum class Workload { Decode, Prefill };

// The rows of a step, over all ranks.
struct StepShape {
  Workload workload = Workload::Decode;
  std::uint32_t sequences = 256;  // sequences in a decode step, prompts in a prefill step
  std::uint32_t tokens = 128;     // decode: positions before the generated token; prefill: length of each prompt
};

// One multiply-add is two operations.
struct NeededOperations {
  double int8 = 0;  // in products with matrices that the model's arithmetic rounds to int8
  double bf16 = 0;  // in products of rows in bf16
  double fp32 = 0;  // of fp32 values, which fused multiply-adds alone can do: attention over the cache, routers, ...
  double all() const { return int8 + bf16 + fp32; }
};
NeededOperations needed_operations(const StepShape& shape, const model::ModelConfig& config);

// Bytes that a step reads at least, of all ranks. Weights are counted in the form in which ranks keep them.
struct NeededBytes {
  double experts = 0;     // routed experts that some row of the step picked, each once
  double replicated = 0;  // all other weights, once per rank; of the embedding only the step's rows, and only the form
                          // of kv_b (latent attention) that the step's kind of rows uses
  double cache = 0;       // keys and values, or latents, that some row sees, each once
  double all() const { return experts + replicated + cache; }
};
// ranks: those that have rows. experts_picked: pairs of a layer and an expert, a mean over steps.
NeededBytes needed_bytes(const StepShape& shape, const model::ModelConfig& config, std::uint32_t ranks,
                         double experts_picked);

// Pairs of a layer and an expert whose count differs between two readings of Backend::expert_counts.
std::uint64_t experts_picked(std::span<const std::uint64_t> before, std::span<const std::uint64_t> after);

}  // namespace moemill::bench
