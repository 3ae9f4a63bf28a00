#include "plan/estimate/memory.hpp"

#include <algorithm>

namespace moemill::estimate {

MemoryUse memory_use(const Setting& setting, double sequence_tokens) {
  const model::ModelConfig& model = setting.model;
  const model::LayerCounts counts = model::count_layers(model);
  const double weight = weight_bytes(setting.precision.weights);
  const double expert_bytes = static_cast<double>(counts.expert) * weight * counts.moe_layers;
  const auto projections = static_cast<double>(counts.prompt.before + counts.prompt.after);
  constexpr double bf16_bytes = 2;
  MemoryUse use;
  use.weights_bytes = model.layers * projections * weight_bytes(setting.precision.projections) +
                      counts.moe_layers * static_cast<double>(counts.shared_expert) * weight +
                      counts.dense_layers * static_cast<double>(counts.dense_mlp) * weight +
                      static_cast<double>(counts.head) * bf16_bytes * (model.tied_embeddings ? 1 : 2) +
                      expert_bytes * model.moe.experts / setting.layout.gpus;
  use.redundant_bytes = expert_bytes * setting.layout.redundant_experts / setting.layout.gpus;
  const double windowed = model::windowed_layers(model);
  use.sequence_bytes =
      kv_width(model) * cache_bytes(setting.precision.cache) *
      ((model.layers - windowed) * sequence_tokens + windowed * std::min<double>(sequence_tokens, model.gqa.window));
  use.usable_bytes = setting.hardware.memory_bytes * setting.hardware.efficiencies.usable_memory;
  return use;
}

}  // namespace moemill::estimate
