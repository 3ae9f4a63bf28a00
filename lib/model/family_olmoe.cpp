// OLMoE: every layer is MoE, with one norm over all query heads and one over all key heads.
#include "model/family.hpp"

namespace moemill::model {

void read_olmoe(const JsonObject& json, ModelConfig& config) {
  read_common(json, config, 1e-5);
  require_silu(json);
  refuse_set(json, {"mlp_bias"});
  read_grouped_heads(json, config, {.heads = 16}, {});
  Gqa& gqa = config.gqa;
  // The norms' weights have hidden_size values, so head_dim must be hidden_size / heads.
  if (gqa.heads * gqa.head_dim != config.hidden) {
    json.refuse(json.has("head_dim") ? "head_dim" : "num_attention_heads",
                "such that num_attention_heads heads of head_dim values make up hidden_size");
  }
  gqa.qk_norm = QkNorm::AllHeads;
  gqa.qkv_bias = gqa.out_bias = json.flag_or("attention_bias", false);
  gqa.clip = static_cast<float>(json.number_or("clip_qkv", 0, 1e-6, 1e6));

  read_routed_experts(json, config, spelled(json, "num_experts", "num_local_experts"), "intermediate_size",
                      {.experts = 64, .picks = 8, .width = 2048});
  config.layer_is_moe.assign(config.layers, true);
  config.moe.score = RouterScore::Softmax;
  config.moe.normalize = json.flag_or("norm_topk_prob", false);
}

}  // namespace moemill::model
