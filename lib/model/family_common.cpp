// The parts of config.json that several families read the same way. A size is checked first, then the values that
// depend on it.
#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "model/family.hpp"

namespace moemill::model {

void read_common(const JsonObject& json, ModelConfig& config, double norm_eps) {
  config.hidden = json.integer("hidden_size", 1, limits::hidden);
  config.layers = json.integer("num_hidden_layers", 1, limits::layers);
  config.vocabulary = json.integer("vocab_size", 1, limits::vocabulary);
  config.max_positions = json.integer("max_position_embeddings", 1, limits::positions);
  config.norm_eps = static_cast<float>(json.number_or("rms_norm_eps", norm_eps, 0, 1));
  config.tied_embeddings = json.flag_or("tie_word_embeddings", false);
}

void require_silu(const JsonObject& json) {
  std::string activation = json.text_or("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") json.refuse("hidden_act", "silu");
}

void refuse_set(const JsonObject& json, std::initializer_list<std::string_view> flags) {
  for (std::string_view key : flags) {
    if (json.flag_or(key, false)) json.refuse(key, "false: this family has no such thing");
  }
}

void read_spare_layers(const JsonObject& json, ModelConfig& config) {
  config.spare_layers = json.integer_or("num_nextn_predict_layers", 1, 0, limits::layers);
}

std::string_view spelled(const JsonObject& json, std::string_view key, std::string_view also) {
  if (!json.has(also)) return key;
  if (json.has(key) && json.json()[std::string(key)] != json.json()[std::string(also)]) {
    json.refuse(also, fmt::format("equal to \"{}\", another name of the same", key));
  }
  return also;
}

void read_grouped_heads(const JsonObject& json, ModelConfig& config, const HeadDefaults& heads,
                        const RopeDefaults& rope_defaults) {
  config.attention = AttentionKind::Grouped;
  Gqa& gqa = config.gqa;
  gqa.heads = json.integer_or("num_attention_heads", heads.heads, 1, limits::heads);
  std::uint32_t kv_heads = heads.kv_heads == 0 ? gqa.heads : heads.kv_heads;
  if (json.json().contains("num_key_value_heads")) kv_heads = gqa.heads;  // null means one per query head
  gqa.kv_heads = json.integer_or("num_key_value_heads", kv_heads, 1, limits::heads);
  if (gqa.heads % gqa.kv_heads != 0) {
    json.refuse("num_key_value_heads", fmt::format("a divisor of the {} attention heads", gqa.heads));
  }
  std::uint32_t head_dim = heads.head_dim;
  if (head_dim == 0 || json.json().contains("head_dim")) head_dim = config.hidden / gqa.heads;
  if (!json.has("head_dim") && head_dim == config.hidden / gqa.heads && config.hidden % gqa.heads != 0) {
    config.warnings.push_back(fmt::format(
        "{}: hidden_size {} is no multiple of num_attention_heads {}, and there is no head_dim: a head has {} "
        "values, rounded down as in transformers",
        json.file(), config.hidden, gqa.heads, head_dim));
  }
  gqa.head_dim = json.integer_or("head_dim", head_dim, 1, limits::head_dim);
  if (gqa.head_dim == 0 || gqa.head_dim > limits::head_dim) {
    json.refuse("num_attention_heads",
                fmt::format("such that hidden_size / num_attention_heads is 1 to {}", limits::head_dim));
  }
  if (std::uint64_t{gqa.kv_heads} * gqa.head_dim > limits::kv_width) {
    json.refuse("num_key_value_heads", fmt::format("at most {} / head_dim", limits::kv_width));
  }
  gqa.softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(gqa.head_dim)));

  RopeSettings rope = read_rope(json, config.max_positions, rope_defaults);
  config.rope = resolve_rope(rope, gqa.head_dim, RotaryPairs::Halves);
  config.max_positions = stretched_positions(rope, config.max_positions);
  // An odd number of rotating values is defined (one more value rotates), but not with YaRN.
  auto rotated = static_cast<std::uint32_t>(gqa.head_dim * rope.rotated_share);
  bool odd_yarn = rope.scaling == RopeScaling::Yarn && rotated % 2 != 0;
  if (config.rope.dim == 0 || config.rope.dim > gqa.head_dim || odd_yarn) {
    json.refuse(rope_defaults.rotated_share ? "partial_rotary_factor" : "head_dim",
                fmt::format("such that an even number of the {} values a head rotate", gqa.head_dim));
  }
}

std::vector<bool> read_layer_types(const JsonObject& json, const ModelConfig& config, std::vector<bool> otherwise) {
  if (!json.has("layer_types")) return otherwise;
  const nlohmann::json& types = json.json()["layer_types"];
  std::string accepted =
      fmt::format("a list of sliding_attention or full_attention for each of the {} layers", config.layers);
  if (!types.is_array() || types.size() != config.layers) json.refuse("layer_types", accepted);
  std::vector<bool> layers;
  for (const nlohmann::json& type : types) {
    if (type != "sliding_attention" && type != "full_attention") {
      std::string found = type.is_string() ? type.get<std::string>().substr(0, 40) : "no string";
      json.refuse("layer_types", fmt::format("{}; layer {} has {}", accepted, layers.size(), found));
    }
    layers.push_back(type == "sliding_attention");
  }
  return layers;
}

void read_window(const JsonObject& json, ModelConfig& config, std::uint32_t otherwise, std::vector<bool> layers) {
  if (std::find(layers.begin(), layers.end(), true) == layers.end()) return;
  bool absent = !json.json().contains("sliding_window");
  config.gqa.window = absent ? otherwise : json.integer("sliding_window", 1, limits::positions);
  config.gqa.layer_has_window = std::move(layers);
}

void read_routed_experts(const JsonObject& json, ModelConfig& config, std::string_view experts_key,
                         std::string_view width_key, const ExpertDefaults& otherwise) {
  Moe& moe = config.moe;
  auto read = [&](std::string_view key, std::uint32_t absent, std::uint32_t max) {
    return absent == 0 ? json.integer(key, 1, max) : json.integer_or(key, absent, 1, max);
  };
  moe.experts = read(experts_key, otherwise.experts, limits::experts);
  moe.picks = read("num_experts_per_tok", otherwise.picks, moe.experts);
  if (moe.picks > moe.experts) {
    json.refuse("num_experts_per_tok", fmt::format("an integer from 1 to {}", moe.experts));
  }
  moe.expert_width = read(width_key, otherwise.width, limits::width);
}

void read_dense_first(const JsonObject& json, ModelConfig& config, std::uint32_t dense_otherwise,
                      std::uint32_t width_otherwise) {
  std::uint32_t dense = json.integer_or("first_k_dense_replace", dense_otherwise, 0, limits::layers);
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) config.layer_is_moe.push_back(layer >= dense);
  config.dense_width = width_otherwise == 0 ? json.integer("intermediate_size", 1, limits::width)
                                            : json.integer_or("intermediate_size", width_otherwise, 1, limits::width);
}

void read_shared_experts(const JsonObject& json, ModelConfig& config, std::uint32_t otherwise) {
  Moe& moe = config.moe;
  // null and 0 mean none; an absent key means the family's default.
  bool absent = !json.json().contains("n_shared_experts");
  std::uint32_t shared = absent ? otherwise : json.integer_or("n_shared_experts", 0, 0, limits::shared);
  if (shared * static_cast<std::uint64_t>(moe.expert_width) > limits::width) {
    json.refuse("n_shared_experts", fmt::format("at most {} / moe_intermediate_size", limits::width));
  }
  moe.shared_width = shared * moe.expert_width;
}

// Experts form `groups` equal groups, and the picks come from `kept` of them.
void read_groups(const JsonObject& json, ModelConfig& config, std::uint32_t groups, std::uint32_t kept,
                 std::uint32_t least_members) {
  Moe& moe = config.moe;
  if (json.json().contains("n_group") && !json.has("n_group")) groups = kept = 1;  // null means no groups
  moe.groups = json.integer_or("n_group", groups, 1, moe.experts);
  if (moe.experts % moe.groups != 0) json.refuse("n_group", fmt::format("a divisor of {} experts", moe.experts));
  std::uint32_t members = moe.experts / moe.groups;
  if (moe.groups > 1 && members < least_members) {
    json.refuse("n_group", fmt::format("such that a group has at least {} experts", least_members));
  }
  moe.groups_kept = json.integer_or("topk_group", std::min(kept, moe.groups), 1, moe.groups);
  if (moe.groups_kept * static_cast<std::uint64_t>(members) < moe.picks) {
    json.refuse("topk_group", fmt::format("enough groups of {} experts for {} picks", members, moe.picks));
  }
}

void read_sigmoid_routing(const JsonObject& json, ModelConfig& config, const SigmoidDefaults& otherwise) {
  Moe& moe = config.moe;
  moe.score = RouterScore::Sigmoid;
  moe.selection_bias = true;
  moe.group_score = GroupScore::SumOfTwoLargest;
  moe.normalize = json.flag_or("norm_topk_prob", true);
  moe.normalize_eps = 1e-20f;
  moe.scale = static_cast<float>(json.number_or("routed_scaling_factor", otherwise.scale, 1e-6, 1e6));
  read_groups(json, config, otherwise.groups, otherwise.groups_kept, 2);
}

}  // namespace moemill::model
