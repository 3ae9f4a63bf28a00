// GLM-4.5: grouped-query attention in which a part of each head rotates, dense first layers, and DeepSeek-V3's routing
// in the remaining layers.
#include "model/family.hpp"

namespace moemill::model {

void read_glm4_moe(const JsonObject& json, ModelConfig& config) {
  read_common(json, config, 1e-5);
  require_silu(json);
  read_spare_layers(json, config);
  refuse_set(json, {"mlp_bias"});
  read_grouped_heads(json, config, {.heads = 96, .kv_heads = 8}, {.rotated_share = 0.5});
  Gqa& gqa = config.gqa;
  gqa.qkv_bias = json.flag_or("attention_bias", false);  // the output projection never has a bias
  if (json.flag_or("use_qk_norm", false)) gqa.qk_norm = QkNorm::PerHead;

  read_dense_first(json, config, 1, 10944);
  read_routed_experts(json, config, spelled(json, "n_routed_experts", "num_local_experts"), "moe_intermediate_size",
                      {.experts = 128, .picks = 8, .width = 1408});
  read_shared_experts(json, config, 1);
  read_sigmoid_routing(json, config, {.groups = 1, .groups_kept = 1, .scale = 1.0});
}

}  // namespace moemill::model
