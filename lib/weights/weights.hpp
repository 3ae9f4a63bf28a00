// One rank's weights, packed for its kernels: the replicated part (attention, embedding, norms, routers, dense and
// shared MLPs, head) and its slice of the routed experts. Read from safetensors piece by piece; only what the rank
// holds is read, and only a few pieces are in memory twice at a time. The structures are templates over the backend's
// matrix type, and the names without `Of` are the CPU's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/numbers/bf16.hpp"
#include "base/numbers/rounding.hpp"
#include "kernels/gemm.hpp"
#include "kernels/panel.hpp"
#include "model/config.hpp"
#include "model/placement.hpp"
#include "system/machine/threads.hpp"
#include "weights/weights_digest.hpp"

namespace moemill::model {

// Up's columns begin at a panel of their own.
inline std::uint32_t up_offset_of(std::uint32_t width) { return round_up(width, std::uint32_t{cpu::panel_columns}); }

// Gate and up side by side in one matrix: gate in columns [0, width), up in [up_offset, up_offset + width), where
// up_offset is up_offset_of(width).
template <class Matrix>
struct MlpWeightsOf {
  Matrix gate_up;
  Matrix down;  // [width, hidden]
  std::uint32_t width = 0;
  std::uint32_t up_offset = 0;
  const float* gate_up_bias = nullptr;  // [gate_up.n], in the columns' places; null: none
  const float* down_bias = nullptr;     // [hidden]
};

template <class Matrix>
struct MlaWeightsOf {
  Matrix q;                          // [hidden, heads * (nope + rope)], without q-LoRA
  Matrix q_a;                        // [hidden, q_lora]
  const float* q_a_norm = nullptr;   // [q_lora]
  Matrix q_b;                        // [q_lora, heads * (nope + rope)]
  Matrix kv_a;                       // [hidden, kv_lora + rope]
  const float* kv_a_norm = nullptr;  // [kv_lora]
  // Per head, both forms of kv_b: keys and values from the latent (expanded), and queries into the latent (absorbed).
  std::vector<Matrix> key_up;      // [heads] of [kv_lora, nope]
  std::vector<Matrix> value_up;    // [heads] of [kv_lora, v]
  std::vector<Matrix> key_absorb;  // [heads] of [nope, kv_lora]: the transpose of key_up
  Matrix out;                      // [heads * v, hidden]
};

template <class Matrix>
struct GqaWeightsOf {
  Matrix q;                         // [hidden, heads * head_dim]
  Matrix k, v;                      // [hidden, kv_heads * head_dim]
  Matrix out;                       // [heads * head_dim, hidden]
  const float* q_bias = nullptr;    // [q.n]; this and what follows is null where the model has none
  const float* k_bias = nullptr;    // [k.n]
  const float* v_bias = nullptr;    // [v.n]
  const float* out_bias = nullptr;  // [hidden]
  const float* q_norm = nullptr;    // [head_dim] or [q.n], see QkNorm
  const float* k_norm = nullptr;    // [head_dim] or [k.n]
  const float* sinks = nullptr;     // [heads]
};

template <class Matrix>
struct MoeWeightsOf {
  Matrix router;  // [hidden, experts]; used with unrounded fp32 rows
  // What bf16 leaves over of a router that is stored in fp32, likewise rounded, and what that leaves over: the three
  // add up to the stored values. Null where the stored values are bf16's.
  std::array<Matrix, 2> router_rest;
  const float* router_bias = nullptr;         // [experts]; null where the model has none
  const float* shared_gate = nullptr;         // [hidden]; null where the model has none
  const float* selection_bias = nullptr;      // [experts], fp32; null where the model has none
  std::vector<MlpWeightsOf<Matrix>> experts;  // those of this rank, by LocalExpert
  MlpWeightsOf<Matrix> shared;                // width 0 where there is none
};

template <class Matrix>
struct LayerWeightsOf {
  const float* attention_norm = nullptr;                               // [hidden]
  const float* mlp_norm = nullptr;                                     // [hidden]
  std::variant<MlaWeightsOf<Matrix>, GqaWeightsOf<Matrix>> attention;  // as the model's AttentionKind says
  MlpWeightsOf<Matrix> dense;                                          // where the layer is dense
  MoeWeightsOf<Matrix> moe;                                            // where it is not
};

template <class Matrix>
struct WeightsOf {
  const bf16* embedding = nullptr;  // [vocabulary, hidden], row-major
  std::vector<LayerWeightsOf<Matrix>> layers;
  const float* final_norm = nullptr;
  Matrix head;                          // [hidden, vocabulary]
  std::uint64_t bytes = 0;              // memory held by this rank
  WeightsDigest digest;                 // of what was read for it
  std::shared_ptr<const void> storage;  // owner of everything above
};

using MlpWeights = MlpWeightsOf<cpu::Matrix>;
using MlaWeights = MlaWeightsOf<cpu::Matrix>;
using GqaWeights = GqaWeightsOf<cpu::Matrix>;
using MoeWeights = MoeWeightsOf<cpu::Matrix>;
using LayerWeights = LayerWeightsOf<cpu::Matrix>;
using Weights = WeightsOf<cpu::Matrix>;

// Loads the part of `rank`. load_format dummy: repeatable random weights from config.json alone (the same value for
// the same tensor element whatever the placement). Read, decoded and packed by all threads of the team; rank 0 logs how
// far it is. `between` is called by the calling thread between pieces; what it throws ends the loading. Throws
// UserError naming file, tensor, and what was expected.
Weights load_weights(
    const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
    const std::string& load_format, ThreadTeam& team, const std::function<void()>& between = [] {});
// The same on one thread.
Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format);
// Of one copy of a model's weights: the bytes of what is held in each format.
struct HeldWeights {
  std::uint64_t bf16_bytes = 0, fp8_bytes = 0, mxfp4_bytes = 0;
  std::uint32_t widened_matrices = 0;  // stored in FP8 and held in bf16, because of how their scales lie
};
HeldWeights held_weights(const ModelConfig& config);
// Bytes that load_weights will hold, by the same packing rules.
std::uint64_t weight_bytes(const ModelConfig& config, const Placement& placement, DomainRank rank);
// `config` with what only the files tell: how they name and store its tensors. Memory depends on it a little.
ModelConfig stored_config(const std::string& dir, const ModelConfig& config, const std::string& load_format);
// Fingerprint of config.json and the weights' headers and sampled bytes; `model_sha256` of the outputs.
std::string model_fingerprint(const std::string& dir, const std::string& load_format);
// Everything that can be known without loading: files present, headers well formed, every needed tensor there with its
// shape and dtype. Throws UserError on the first fault. Returns what a user should know: weights that are rounded,
// tensors that nobody asked for.
std::vector<std::string> check_model_files(const std::string& dir, const ModelConfig& config,
                                           const std::string& load_format);

}  // namespace moemill::model
