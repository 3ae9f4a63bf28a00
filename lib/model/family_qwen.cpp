// Qwen2-MoE and Qwen3-MoE: softmax routing, dense layers by decoder_sparse_step and mlp_only_layers, and a window only
// if use_sliding_window is set.
#include <algorithm>

#include "base/error.hpp"
#include "model/family.hpp"

namespace moemill::model {

namespace {

void read_layers(const JsonObject& json, ModelConfig& config, std::uint32_t dense_width_otherwise) {
  std::uint32_t step = json.integer_or("decoder_sparse_step", 1, 1, limits::layers);
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) config.layer_is_moe.push_back((layer + 1) % step == 0);
  if (json.has("mlp_only_layers")) {
    const nlohmann::json& dense = json.json()["mlp_only_layers"];
    constexpr const char* accepted = "a list of layer indices";
    if (!dense.is_array()) json.refuse("mlp_only_layers", accepted);
    for (const nlohmann::json& index : dense) {
      if (!index.is_number_integer()) json.refuse("mlp_only_layers", accepted);
      // An index beyond the last layer is ignored, as in transformers.
      auto layer = index.get<std::uint64_t>();
      if (layer < config.layers) config.layer_is_moe[layer] = false;
    }
  }
  config.dense_width = json.integer_or("intermediate_size", dense_width_otherwise, 1, limits::width);
}

}  // namespace

void read_qwen2_moe(const JsonObject& json, ModelConfig& config) {
  read_common(json, config, 1e-6);
  require_silu(json);
  refuse_set(json, {"attention_bias", "mlp_bias"});
  read_grouped_heads(json, config, {.heads = 16, .kv_heads = 16}, {});
  config.gqa.qkv_bias = json.flag_or("qkv_bias", true);

  // Without layer_types, transformers 5 gives windows to every second layer below max_window_layers.
  bool use_window = json.flag_or("use_sliding_window", false);
  std::uint32_t below = json.integer_or("max_window_layers", 28, 0, limits::layers);
  std::vector<bool> windowed(config.layers);
  for (std::uint32_t layer = 0; layer < config.layers; layer += 2) windowed[layer] = use_window && layer < below;
  windowed = read_layer_types(json, config, std::move(windowed));
  if (!use_window && std::find(windowed.begin(), windowed.end(), true) != windowed.end()) {
    json.refuse("layer_types", "full_attention in every layer if use_sliding_window is false");
  }
  read_window(json, config, 4096, std::move(windowed));

  read_layers(json, config, 5632);
  read_routed_experts(json, config, "num_experts", "moe_intermediate_size", {.experts = 60, .picks = 4, .width = 1408});
  Moe& moe = config.moe;
  moe.score = RouterScore::Softmax;
  moe.normalize = json.flag_or("norm_topk_prob", false);
  moe.shared_width = json.integer_or("shared_expert_intermediate_size", 5632, 0, limits::width);
  moe.shared_gate = moe.shared_width > 0;  // without a shared expert the gate has no effect
  config.names.shared = "shared_expert";
}

void read_qwen3_moe(const JsonObject& json, ModelConfig& config) {
  read_common(json, config, 1e-6);
  require_silu(json);
  refuse_set(json, {"mlp_bias"});
  read_grouped_heads(json, config, {.heads = 32, .kv_heads = 4}, {});
  config.gqa.qk_norm = QkNorm::PerHead;
  config.gqa.qkv_bias = config.gqa.out_bias = json.flag_or("attention_bias", false);
  // Either all layers have a window or none: unlike Qwen2, Qwen3 ignores max_window_layers. null means no window.
  bool null_window = json.json().contains("sliding_window") && !json.has("sliding_window");
  std::vector<bool> windowed(config.layers, json.flag_or("use_sliding_window", false) && !null_window);
  if (read_layer_types(json, config, windowed) != windowed) {
    json.refuse("layer_types", "the same in every layer: sliding_attention if use_sliding_window is true");
  }
  read_window(json, config, 4096, std::move(windowed));

  read_layers(json, config, 6144);
  read_routed_experts(json, config, spelled(json, "num_experts", "num_local_experts"), "moe_intermediate_size",
                      {.experts = 128, .picks = 8, .width = 768});
  config.moe.score = RouterScore::Softmax;
  config.moe.normalize = json.flag_or("norm_topk_prob", false);
}

}  // namespace moemill::model
