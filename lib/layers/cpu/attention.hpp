// The attention of a layer on the CPU, latent or grouped as the model requires. Called by layers/block once per layer
// and micro-batch; layers/forward calls prepare() once per step.
#pragma once

#include <cstdint>
#include <variant>

#include "layers/cpu/grouped_attention.hpp"
#include "layers/cpu/latent_attention.hpp"

namespace moemill::cpu {

class Attention {
 public:
  // Derived from a plan once per step, for all layers. One of the two is in use.
  struct Work {
    LatentTiles latent;
    GroupedTiles grouped;
  };

  Attention(Stream& stream, const model::ModelConfig& config, KvCache& cache);

  // Workspace for micro-batches of up to that many rows.
  void reserve(std::size_t rows);
  void prepare(const AttentionPlan& plan, Work& work) const;
  // Writes what the cache keeps of the rows, then out = attention. Latent attention reads `rounded`, grouped attention
  // `exact`; `out` may be the same memory as `exact`. All are [rows, hidden].
  void run(const model::LayerWeights& weights, LayerId layer, const AttentionPlan& plan, const Work& work,
           Rows<const bf16> rounded, Rows<const float> exact, Rows<float> out);
  std::uint64_t workspace_bytes() const;

 private:
  std::variant<LatentAttention, GroupedAttention> kind_;
};

}  // namespace moemill::cpu
