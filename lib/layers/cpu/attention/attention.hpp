// The attention of a layer on the CPU, latent or grouped as the model requires. Called by layers/block once per layer
// and micro-batch; layers/forward calls prepare() once per step.
#pragma once

#include <cstdint>
#include <variant>

#include "layers/cpu/attention/grouped_attention.hpp"
#include "layers/cpu/attention/latent_attention.hpp"

namespace moemill::cpu {

class Attention {
 public:
  // The backend's form of a plan, made once per step for all layers. The CPU reads the host's plan in place and adds
  // the tiles of one of the two kinds of attention.
  struct Work {
    const AttentionPlan* plan = nullptr;
    LatentTiles latent;
    GroupedTiles grouped;
  };

  Attention(Stream& stream, const model::ModelConfig& config, KvCache& cache);

  // Reserves workspace for micro-batches of up to `rows` rows.
  void reserve(std::size_t rows);
  // The plan must outlive the step.
  void prepare(const AttentionPlan& plan, Work& work) const;
  // Writes what the cache keeps of the rows, then sets `out` to the attention's output. Latent attention reads
  // `rounded`, grouped attention `exact`; `out` may be the same memory as `exact`. All are [rows, hidden].
  void run(const model::LayerWeights& weights, LayerId layer, const Work& work, Rows<const bf16> rounded,
           Rows<const float> exact, Rows<float> out);
  std::uint64_t workspace_bytes() const;

 private:
  std::variant<LatentAttention, GroupedAttention> attention_;
};

}  // namespace moemill::cpu
