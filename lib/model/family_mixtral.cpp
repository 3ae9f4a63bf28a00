// Mixtral: every layer is MoE, with softmax over all experts and renormalised picks. If the file sets a window, every
// layer has it.
#include "model/family.hpp"

namespace moemill::model {

void read_mixtral(const JsonObject& json, ModelConfig& config) {
  read_common(json, config, 1e-5);
  require_silu(json);
  refuse_set(json, {"attention_bias", "mlp_bias"});
  read_grouped_heads(json, config, {.heads = 32, .kv_heads = 8}, {.theta = 1e6});
  if (json.has("sliding_window")) read_window(json, config, 0, std::vector<bool>(config.layers, true));

  read_routed_experts(json, config, spelled(json, "num_local_experts", "num_experts"), "intermediate_size",
                      {.experts = 8, .picks = 2, .width = 14336});
  config.layer_is_moe.assign(config.layers, true);
  config.moe.score = RouterScore::Softmax;
  config.moe.normalize = true;
  config.names = {.moe = "block_sparse_moe", .gate = "w1", .up = "w3", .down = "w2"};
}

}  // namespace moemill::model
