// gpt-oss: attention with sinks and biases, windows on alternate layers, and experts with biases and a clamped SwiGLU.
// One tensor stores all experts of a layer.
#include "model/family.hpp"

namespace moemill::model {

namespace {

// swiglu_alpha. The kernel supports only this value, which every published model has.
constexpr double sigmoid_gain = 1.702;

nlohmann::json published_rope() {
  return {{"rope_type", "yarn"}, {"factor", 32.0},    {"beta_fast", 32.0},
          {"beta_slow", 1.0},    {"truncate", false}, {"original_max_position_embeddings", 4096}};
}

}  // namespace

void read_gpt_oss(const JsonObject& json, ModelConfig& config) {
  read_common(json, config, 1e-5);
  refuse_set(json, {"mlp_bias"});
  read_grouped_heads(json, config, {.heads = 64, .kv_heads = 8, .head_dim = 64},
                     {.theta = 150000, .scaling = published_rope()});
  Gqa& gqa = config.gqa;
  gqa.qkv_bias = gqa.out_bias = json.flag_or("attention_bias", true);
  gqa.sinks = true;
  std::vector<bool> windowed(config.layers);
  for (std::uint32_t layer = 0; layer < config.layers; layer += 2) windowed[layer] = true;
  read_window(json, config, 128, read_layer_types(json, config, std::move(windowed)));

  read_routed_experts(json, config, spelled(json, "num_local_experts", "num_experts"), "intermediate_size",
                      {.experts = 128, .picks = 4, .width = 2880});
  config.layer_is_moe.assign(config.layers, true);
  Moe& moe = config.moe;
  moe.score = RouterScore::SoftmaxOfPicks;
  moe.router_bias = moe.expert_bias = true;
  // transformers does not read hidden_act here: the activation is fixed.
  moe.activation = Activation::ClampedSilu;
  moe.activation_limit = static_cast<float>(json.number_or("swiglu_limit", 7, 1e-6, 1e6));
  if (json.number_or("swiglu_alpha", sigmoid_gain, 0, 1e6) != sigmoid_gain) json.refuse("swiglu_alpha", "1.702");
  config.names.router = "router";
  config.names.experts = ExpertStorage::Fused;
}

}  // namespace moemill::model
