// The model families: one parser each, which turns the keys of config.json into the plain values of ModelConfig, and
// what several of them read the same way. Private to model/; README.md here says how a family is added.
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

// Largest accepted values: beyond every published model, small enough that no product of them overflows 64 bits.
namespace limits {
constexpr std::uint32_t hidden = 1u << 16;
constexpr std::uint32_t layers = 1u << 10;
constexpr std::uint32_t width = 1u << 18;
constexpr std::uint32_t vocabulary = 1u << 24;
constexpr std::uint32_t positions = 1u << 26;
constexpr std::uint32_t heads = 1u << 10;
constexpr std::uint32_t head_dim = 1u << 10;
constexpr std::uint32_t kv_width = 1u << 17;  // of all key heads of a layer
constexpr std::uint32_t rank = 1u << 16;
constexpr std::uint32_t experts = 1u << 14;
constexpr std::uint32_t shared = 1u << 6;
}  // namespace limits

// Sizes, norms, embeddings: the keys of every family. `norm_eps` where rms_norm_eps is absent.
void read_common(const JsonObject& json, ModelConfig& config, double norm_eps);
void require_silu(const JsonObject& json);  // hidden_act
// Flags that the family's definition does not read, but that would change the numbers elsewhere.
void refuse_set(const JsonObject& json, std::initializer_list<std::string_view> flags);
// num_nextn_predict_layers: layers behind the last one that only speculative decoding uses. One where the key is absent
// (transformers leaves it out), for the families that are published with one.
void read_spare_layers(const JsonObject& json, ModelConfig& config);
// Which of two spellings of one key the file uses (transformers 5 renames some when it saves); `key` where neither.
std::string_view spelled(const JsonObject& json, std::string_view key, std::string_view also);

// What an absent key means; kv_heads 0: as many as heads; head_dim 0: hidden_size / heads.
struct HeadDefaults {
  std::uint32_t heads = 32, kv_heads = 0, head_dim = 0;
};
// Heads, rotation and scale of grouped-query attention.
void read_grouped_heads(const JsonObject& json, ModelConfig& config, const HeadDefaults& heads,
                        const RopeDefaults& rope);
// layer_types: which layers have a window, `otherwise` where the key is absent or null.
std::vector<bool> read_layer_types(const JsonObject& json, const ModelConfig& config, std::vector<bool> otherwise);
// The window's size under sliding_window, for the layers flagged; nothing where none is.
void read_window(const JsonObject& json, ModelConfig& config, std::uint32_t otherwise, std::vector<bool> layers);

// The number of routed experts under the key that the file uses, picks, and the width of one under `width_key`.
struct ExpertDefaults {
  std::uint32_t experts = 0, picks = 0, width = 0;  // 0: the key must be there
};
void read_routed_experts(const JsonObject& json, ModelConfig& config, std::string_view experts_key,
                         std::string_view width_key, const ExpertDefaults& otherwise);
// DeepSeek's and GLM's layers: the first ones dense, then MoE. width_otherwise 0: intermediate_size must be there.
void read_dense_first(const JsonObject& json, ModelConfig& config, std::uint32_t dense_otherwise,
                      std::uint32_t width_otherwise);
void read_shared_experts(const JsonObject& json, ModelConfig& config, std::uint32_t otherwise);  // n_shared_experts
void read_groups(const JsonObject& json, ModelConfig& config, std::uint32_t groups, std::uint32_t kept,
                 std::uint32_t least_members);
// DeepSeek-V3's routing: sigmoid, a correction bias that only chooses, groups by their two best.
struct SigmoidDefaults {
  std::uint32_t groups = 1, groups_kept = 1;
  double scale = 1;
};
void read_sigmoid_routing(const JsonObject& json, ModelConfig& config, const SigmoidDefaults& otherwise);

// quantization_config, once the family has said how its experts are stored.
void read_quantization(const JsonObject& json, ModelConfig& config);

}  // namespace moemill::model
