// A model as plain values: the contents of config.json with the family's rules already applied, so no layer ever asks
// which family it serves. One parser per family (model/family_*.cpp) fills it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/arithmetic.hpp"
#include "base/ids.hpp"
#include "base/rotary_pairs.hpp"

namespace moemill::model {

enum class RopeScaling { None, Linear, Llama3, Yarn };

// The rotary embedding, fully resolved: angle(position, i) = position * frequencies[i].
struct Rope {
  std::uint32_t dim = 0;  // rotated values per head
  RotaryPairs pairs = RotaryPairs::Adjacent;
  std::vector<float> frequencies;  // [dim / 2], scaling applied
  float magnitude = 1.0f;          // multiplies cos and sin
};

struct Mla {
  std::uint32_t heads = 0;
  std::uint32_t q_lora_rank = 0;  // 0: queries are projected directly from the hidden state
  std::uint32_t kv_lora_rank = 0;
  std::uint32_t qk_nope_dim = 0;
  std::uint32_t qk_rope_dim = 0;
  std::uint32_t v_dim = 0;
  float softmax_scale = 0;        // (nope + rope)^-0.5, times YaRN's m^2 if the model uses it
  float latent_norm_eps = 1e-6f;  // eps of q_a_layernorm and kv_a_layernorm; rms_norm_eps does not apply to them
};

enum class QkNorm { None, PerHead, AllHeads };  // PerHead: weight [head_dim]; AllHeads: [heads * head_dim], one norm

// Grouped-query attention: query head h reads key and value head h / (heads / kv_heads).
struct Gqa {
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;  // values per head of queries, keys and values; the first rope.dim of them rotate
  float softmax_scale = 0;
  bool qkv_bias = false;
  bool out_bias = false;
  bool sinks = false;             // one logit per head joins every query's softmax, unscaled and without a value
  QkNorm qk_norm = QkNorm::None;  // applied before the rotation, with norm_eps
  float clip = 0;                 // queries, keys and values are clamped to [-clip, clip] before rotation; 0: never
  std::uint32_t window = 0;       // positions that a windowed layer sees, the row's own included; 0: no such layers
  std::vector<bool> layer_has_window;  // [layers]; empty without a window
};

enum class AttentionKind { Latent, Grouped };

// SoftmaxOfPicks picks the largest logits and takes the softmax over these alone.
enum class RouterScore { Softmax, Sigmoid, SoftmaxOfPicks };
enum class GroupScore { Largest, SumOfTwoLargest };

// The function between gate_up and down of an MLP:
//   Silu: silu(gate) * up
//   ClampedSilu: g = min(gate, limit), u = clamp(up, -limit, limit): (u + 1) * g * sigmoid(1.702 g)
enum class Activation { Silu, ClampedSilu };

struct Moe {
  std::uint32_t experts = 0;
  std::uint32_t picks = 0;         // top-k
  std::uint32_t expert_width = 0;  // intermediate size of one routed expert
  std::uint32_t shared_width = 0;  // intermediate size of all shared experts as one MLP; 0: none
  RouterScore score = RouterScore::Softmax;
  bool router_bias = false;                  // added to the logits
  bool router_exact = false;                 // the router is stored in more than bf16, and every bit of it is used
  bool shared_gate = false;                  // the shared expert's output is multiplied by sigmoid(shared_gate . x)
  bool expert_bias = false;                  // routed experts have biases on gate, up and down
  Activation activation = Activation::Silu;  // of routed experts
  float activation_limit = 0;                // the limit of ClampedSilu
  bool selection_bias = false;               // e_score_correction_bias decides the picks but not their weights
  std::uint32_t groups = 1;
  std::uint32_t groups_kept = 1;
  GroupScore group_score = GroupScore::Largest;
  bool normalize = false;  // weights are divided by (their sum + normalize_eps)
  float normalize_eps = 0;
  float scale = 1.0f;  // routed_scaling_factor
};

// How the files store the routed experts: as published, until weights/files/stored_form.hpp has inspected the files.
enum class ExpertStorage {
  Separate,     // one matrix [out, in] each: experts.N.gate, .up, .down
  FusedHalves,  // as transformers 5 saves: experts.gate_up_proj [experts, 2 width, in] with gate's rows before up's,
                // and experts.down_proj [experts, hidden, width]
  Fused,        // gpt-oss: experts.gate_up_proj [experts, in, 2 width] with gate in even columns, experts.down_proj
                // [experts, width, hidden]; in MXFP4 (_blocks, _scales) the output dimension comes first
};
struct TensorNames {
  std::string body = "model.";   // <body>layers.N, <body>embed_tokens, <body>norm
  std::string head = "lm_head";  // used if the head is not tied to the embedding
  std::string moe = "mlp";       // <body>layers.N.<moe>
  std::string router = "gate";
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";  // matrices of routed experts
  std::string shared = "shared_experts";
  ExpertStorage experts = ExpertStorage::Separate;
};

enum class WeightFormat { Plain, Fp8, Mxfp4 };  // Plain: bf16, fp16 or fp32, tensor by tensor
// How the files store one matrix, whose row is an output.
struct StoredMatrix {
  WeightFormat format = WeightFormat::Plain;
  // Fp8: values that share a scale. Rows of a fused tensor begin blocks of their own every group_rows.
  std::uint64_t group_rows = 0;
  std::uint32_t block_rows = 0, block_columns = 0;
  friend bool operator==(const StoredMatrix&, const StoredMatrix&) = default;
};

struct Quantization {
  WeightFormat format = WeightFormat::Plain;
  // Fp8: the size of the block of values that share a scale; 0 if there is one scale per matrix or per row.
  std::uint32_t block_rows = 0, block_columns = 0;
  // model.keep_quantized: ranks hold matrices in the codes of the files. No byte of an answer depends on it. Matrices
  // that the arithmetic rounds to int8 are not among them.
  bool keep = true;
  // Matrices that the files store differently, by name: see weights/stored_matrix.hpp.
  std::map<std::string, StoredMatrix> exceptions = {};
};

struct ModelConfig {
  std::string model_type;  // as in config.json
  std::uint32_t hidden = 0;
  std::uint32_t layers = 0;
  std::uint32_t spare_layers = 0;  // layers stored after the last one and not used (multi-token prediction)
  std::uint32_t vocabulary = 0;
  std::uint32_t max_positions = 0;
  std::uint32_t dense_width = 0;   // intermediate size of dense layers
  std::vector<bool> layer_is_moe;  // [layers]
  float norm_eps = 1e-6f;
  bool tied_embeddings = false;
  AttentionKind attention = AttentionKind::Latent;
  Mla mla;  // set if attention is Latent
  Gqa gqa;  // set if attention is Grouped
  Rope rope;
  Moe moe;
  TensorNames names;
  Quantization quantization;
  // model.arithmetic: the form of the weights that ranks multiply by, whatever the form in the files.
  Arithmetic arithmetic = Arithmetic::Bf16;
  // model.expert_sum; as read from config.json, what `auto` stands for.
  ExpertSum expert_sum = ExpertSum::Picks;
  std::vector<TokenId> eos;           // eos_token_id of generation_config.json, otherwise of config.json
  std::vector<std::string> warnings;  // what a user should know, for example that fp32 weights are rounded
};

// Reads DIR/config.json and generation_config.json. UserError names file, key and accepted values.
ModelConfig read_config(const std::string& dir);

struct ParameterCounts {
  std::uint64_t total = 0;   // as published: embedding and head count once each, or once together if tied
  std::uint64_t active = 0;  // parameters that one token is multiplied by; the embedding table counts only as the head
  std::uint64_t routed = 0;  // the part of total in routed experts
};
ParameterCounts count_parameters(const ModelConfig& config);
// Values that a layer caches per token: kv_lora + rope, or 2 * kv_heads * head_dim.
std::uint32_t kv_width(const ModelConfig& config);
std::uint32_t windowed_layers(const ModelConfig& config);
std::uint64_t kv_bytes_per_token(const ModelConfig& config);  // layers * kv_width * 2, including windowed layers
// Floating-point operations per token by the model's definition (2 per multiply-add): the routed top-k, shared and
// dense MLPs, attention projections and head, and attention over `context` positions, in the absorbed form for a
// generated token and in the expanded form for a prompt token.
double flops_per_generated_token(const ModelConfig& config, double context);
double flops_per_prompt_token(const ModelConfig& config, double context, double logit_rows_per_token);
// The part of either that is in matrices which the arithmetic int8 rounds: attention's projections without kv_b, dense
// and shared MLPs, and the routed top-k.
double rounded_flops_per_token(const ModelConfig& config);
// The part of either that has fp32 operands in front of the weights or the cache, for which no unit is faster than
// fused multiply-adds: routers, attention over the cache, and in bf16 grouped attention's projections and latent
// attention's output; for a generated token also kv_b, which its absorbed form multiplies with queries and sums.
// `context` as above.
double exact_flops_per_generated_token(const ModelConfig& config, double context);
double exact_flops_per_prompt_token(const ModelConfig& config, double context);

}  // namespace moemill::model
