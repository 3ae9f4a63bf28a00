// Parameters and operations of a model's layers, stage by stage: the parts of which count_parameters and the
// operations a token are sums. Used by the step model of plan/estimate, which gives every stage its seconds.
#pragma once

#include <cstdint>

#include "model/config.hpp"

namespace moemill::model {

// A prompt's row has attention's expanded form, a generated row the absorbed one. They differ for latent attention
// only.
enum class Pass { Prompt, Generated };

// Attention's matrices in front of the core (queries against keys, weights against values) and behind it.
struct Projections {
  std::uint64_t before = 0;  // parameters
  std::uint64_t after = 0;
  std::uint32_t matrices_before = 0;
  std::uint32_t matrices_after = 0;
};

struct LayerCounts {
  Projections prompt;     // kv_b expands the row's latent to keys and values, before the core
  Projections generated;  // kv_b's half for keys acts on the query, its half for values on the core's output
  // Operations of the core for one row and one position that it sees, 2 per multiply-add.
  double prompt_core_flops = 0;
  double generated_core_flops = 0;
  std::uint32_t query_heads = 0;
  std::uint32_t cached_head_width = 0;  // values of one cached key: the latent with its rotated part, or head_dim
  std::uint64_t expert = 0;             // matrices of one routed expert
  std::uint64_t shared_expert = 0;      // 0: the model has none
  std::uint64_t dense_mlp = 0;          // of a layer without experts
  std::uint32_t moe_layers = 0;
  std::uint32_t dense_layers = 0;
  std::uint64_t head = 0;  // vocabulary * hidden

  const Projections& projections(Pass pass) const { return pass == Pass::Prompt ? prompt : generated; }
  double core_flops(Pass pass) const { return pass == Pass::Prompt ? prompt_core_flops : generated_core_flops; }
};

LayerCounts count_layers(const ModelConfig& config);

}  // namespace moemill::model
