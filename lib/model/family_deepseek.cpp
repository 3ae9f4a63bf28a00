// DeepSeek-V2 and V3 (and Kimi K2, which is V3 under another name): multi-head latent attention, dense first
// layers, routed and shared experts. transformers 5 is the definition, including the defaults of absent keys.
#include <cmath>

#include "base/error.hpp"
#include "model/family.hpp"
#include "model/rope.hpp"

namespace moemill::model {

namespace {

void read_sizes(const JsonObject& json, ModelConfig& config) {
  read_common(json, config, 1e-6);
  require_silu(json);
  refuse_set(json, {"attention_bias", "mlp_bias"});
}

void read_attention(const JsonObject& json, ModelConfig& config, RotaryPairs pairs) {
  Mla& mla = config.mla;
  mla.heads = json.integer("num_attention_heads", 1, limits::heads);
  if (json.has("num_key_value_heads") && json.integer("num_key_value_heads", 1, limits::heads) != mla.heads) {
    json.refuse("num_key_value_heads", "equal to num_attention_heads (latent attention has no grouped heads)");
  }
  if (!json.json().contains("q_lora_rank")) {
    json.refuse("q_lora_rank", "an integer, or null if queries are projected directly from the hidden state");
  }
  mla.q_lora_rank = json.integer_or("q_lora_rank", 0, 1, limits::rank);
  mla.kv_lora_rank = json.integer("kv_lora_rank", 1, limits::rank);
  mla.qk_nope_dim = json.integer("qk_nope_head_dim", 1, limits::head_dim);
  mla.qk_rope_dim = json.integer("qk_rope_head_dim", 2, limits::head_dim);
  if (mla.qk_rope_dim % 2 != 0) json.refuse("qk_rope_head_dim", "even (values rotate in pairs)");
  mla.v_dim = json.integer("v_head_dim", 1, limits::head_dim);

  RopeSettings rope = read_rope(json, config.max_positions, {});
  config.rope = resolve_rope(rope, mla.qk_rope_dim, pairs);
  config.max_positions = stretched_positions(rope, config.max_positions);
  double scale = 1 / std::sqrt(static_cast<double>(mla.qk_nope_dim + mla.qk_rope_dim));
  if (rope.scaling != RopeScaling::None && rope.mscale_all_dim) {
    double m = yarn_magnitude(rope.factor, *rope.mscale_all_dim);
    scale *= m * m;
  }
  mla.softmax_scale = static_cast<float>(scale);
}

void read_layers(const JsonObject& json, ModelConfig& config, std::uint32_t dense_layers_otherwise) {
  read_dense_first(json, config, dense_layers_otherwise, 0);
  if (json.has("moe_layer_freq") && json.json()["moe_layer_freq"] != 1) {
    config.warnings.push_back(fmt::format(
        "{}: \"moe_layer_freq\" has no effect, as in transformers; layers from first_k_dense_replace on are MoE",
        json.file()));
  }
}

void read_experts(const JsonObject& json, ModelConfig& config, std::string_view also, std::uint32_t shared_otherwise) {
  read_routed_experts(json, config, spelled(json, "n_routed_experts", also), "moe_intermediate_size", {});
  read_shared_experts(json, config, shared_otherwise);
}

void warn_no_effect(const JsonObject& json, ModelConfig& config, std::string_view key, std::string_view used) {
  if (!json.has(key) || json.json()[std::string(key)] == used) return;
  config.warnings.push_back(
      fmt::format("{}: \"{}\" has no effect in {}, as in transformers; the model routes by \"{}\"", json.file(), key,
                  config.model_type, used));
}

}  // namespace

void read_deepseek_v2(const JsonObject& json, ModelConfig& config) {
  read_sizes(json, config);
  read_attention(json, config, RotaryPairs::Adjacent);
  read_layers(json, config, 0);
  read_experts(json, config, "num_experts", 2);
  Moe& moe = config.moe;
  moe.score = RouterScore::Softmax;
  moe.group_score = GroupScore::Largest;
  moe.scale = static_cast<float>(json.number_or("routed_scaling_factor", 1.0, 1e-6, 1e6));
  warn_no_effect(json, config, "scoring_func", "softmax");
  // transformers does not read norm_topk_prob here: V2's weights are plain probabilities.
  std::string method = json.text_or("topk_method", "greedy");
  if (method == "group_limited_greedy") {
    json.integer("n_group", 1, moe.experts);
    json.integer("topk_group", 1, moe.experts);
    read_groups(json, config, 1, 1, 1);
  } else if (method != "greedy") {
    json.refuse("topk_method", "greedy or group_limited_greedy");
  }
}

void read_deepseek_v3(const JsonObject& json, ModelConfig& config) {
  read_sizes(json, config);
  bool adjacent = json.flag_or("rope_interleave", true);
  read_attention(json, config, adjacent ? RotaryPairs::Adjacent : RotaryPairs::Halves);
  read_layers(json, config, 3);
  read_spare_layers(json, config);
  read_experts(json, config, "num_local_experts", 1);
  warn_no_effect(json, config, "scoring_func", "sigmoid");
  warn_no_effect(json, config, "topk_method", "noaux_tc");
  read_sigmoid_routing(json, config, {.groups = 8, .groups_kept = 4, .scale = 2.5});
}

}  // namespace moemill::model
