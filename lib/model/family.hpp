// The parsers of the model families, which turn the keys of config.json into the plain values of ModelConfig, and the
// functions that several of them share. Private to model/. lib/model/README.md describes how to add a family.
#pragma once

#include <initializer_list>
#include <string_view>

#include "model/config.hpp"
#include "model/json_object.hpp"
#include "model/rope.hpp"

namespace moemill::model {

struct Family {
  std::string_view model_type;  // as in config.json
  void (*read)(const JsonObject& json, ModelConfig& config);
};

void read_deepseek_v2(const JsonObject& json, ModelConfig& config);
void read_deepseek_v3(const JsonObject& json, ModelConfig& config);
void read_mixtral(const JsonObject& json, ModelConfig& config);
void read_qwen2_moe(const JsonObject& json, ModelConfig& config);
void read_qwen3_moe(const JsonObject& json, ModelConfig& config);
void read_olmoe(const JsonObject& json, ModelConfig& config);
void read_glm4_moe(const JsonObject& json, ModelConfig& config);
void read_gpt_oss(const JsonObject& json, ModelConfig& config);

// Largest accepted values: above those of every published model, and small enough that no product overflows 64 bits.
namespace limits {
constexpr std::uint32_t hidden = 1u << 16;
constexpr std::uint32_t layers = 1u << 10;
constexpr std::uint32_t width = 1u << 18;
constexpr std::uint32_t vocabulary = 1u << 24;
constexpr std::uint32_t positions = 1u << 26;
constexpr std::uint32_t heads = 1u << 10;
constexpr std::uint32_t head_dim = 1u << 10;
constexpr std::uint32_t kv_width = 1u << 17;  // all key heads of a layer together
constexpr std::uint32_t rank = 1u << 16;
constexpr std::uint32_t experts = 1u << 14;
constexpr std::uint32_t shared = 1u << 6;
}  // namespace limits

// Reads the keys that every family has: sizes, norms, embeddings. `norm_eps` is the default of rms_norm_eps.
void read_common(const JsonObject& json, ModelConfig& config, double norm_eps);
// Refuses every hidden_act except silu.
void require_silu(const JsonObject& json);
// Refuses flags that are set although the family's definition does not read them, because they change the numbers in
// other families.
void refuse_set(const JsonObject& json, std::initializer_list<std::string_view> flags);
// Reads num_nextn_predict_layers: layers after the last one that only speculative decoding uses. The default is one,
// because transformers omits the key for families that are published with one such layer.
void read_spare_layers(const JsonObject& json, ModelConfig& config);
// Returns which of two spellings of a key the file uses (transformers 5 renames some when it saves), or `key` if
// neither.
std::string_view spelled(const JsonObject& json, std::string_view key, std::string_view also);

// Defaults of absent keys. kv_heads 0 means as many as heads; head_dim 0 means hidden_size / heads.
struct HeadDefaults {
  std::uint32_t heads = 32, kv_heads = 0, head_dim = 0;
};
// Reads heads, rotation and scale of grouped-query attention.
void read_grouped_heads(const JsonObject& json, ModelConfig& config, const HeadDefaults& heads,
                        const RopeDefaults& rope);
// Reads from layer_types which layers have a window; returns `otherwise` if the key is absent or null.
std::vector<bool> read_layer_types(const JsonObject& json, const ModelConfig& config, std::vector<bool> otherwise);
// Reads the window's size from sliding_window if any layer in `layers` has a window.
void read_window(const JsonObject& json, ModelConfig& config, std::uint32_t otherwise, std::vector<bool> layers);

struct ExpertDefaults {
  std::uint32_t experts = 0, picks = 0, width = 0;  // 0: the key is required
};
// Reads the number of routed experts, the number of picks, and the width of one expert.
void read_routed_experts(const JsonObject& json, ModelConfig& config, std::string_view experts_key,
                         std::string_view width_key, const ExpertDefaults& otherwise);
// Reads the layers of DeepSeek and GLM: the first ones are dense, the remaining ones MoE. If width_otherwise is 0,
// intermediate_size is required.
void read_dense_first(const JsonObject& json, ModelConfig& config, std::uint32_t dense_otherwise,
                      std::uint32_t width_otherwise);
void read_shared_experts(const JsonObject& json, ModelConfig& config, std::uint32_t otherwise);  // n_shared_experts
void read_groups(const JsonObject& json, ModelConfig& config, std::uint32_t groups, std::uint32_t kept,
                 std::uint32_t least_members);
// Reads DeepSeek-V3's routing: sigmoid scores, a correction bias for the picks only, groups scored by their two best.
struct SigmoidDefaults {
  std::uint32_t groups = 1, groups_kept = 1;
  double scale = 1;
};
void read_sigmoid_routing(const JsonObject& json, ModelConfig& config, const SigmoidDefaults& otherwise);

// Reads quantization_config; called after the family's parser has set how experts are stored.
void read_quantization(const JsonObject& json, ModelConfig& config);

}  // namespace moemill::model
