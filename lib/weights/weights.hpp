// One rank's weights, packed for its kernels: the replicated part (attention, embedding, norms, routers, dense and
// shared MLPs, head) and its slice of the routed experts. Read from safetensors piece by piece; only what the rank
// holds is read, and only a few pieces are in memory twice at a time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bf16.hpp"
#include "kernels/gemm.hpp"
#include "model/config.hpp"
#include "model/placement.hpp"
#include "system/machine/threads.hpp"
#include "weights/weights_digest.hpp"

namespace moemill::model {

using cpu::PackedMatrix;

// Gate and up side by side in one matrix: gate in columns [0, width), up in [up_offset, up_offset + width), where
// up_offset is `width` rounded up to 32.
struct MlpWeights {
  PackedMatrix gate_up;
  PackedMatrix down;  // [width, hidden]
  std::uint32_t width = 0;
  std::uint32_t up_offset = 0;
  const float* gate_up_bias = nullptr;  // [gate_up.n], in the columns' places; null: none
  const float* down_bias = nullptr;     // [hidden]
};

struct MlaWeights {
  PackedMatrix q;                    // [hidden, heads * (nope + rope)], without q-LoRA
  PackedMatrix q_a;                  // [hidden, q_lora]
  const float* q_a_norm = nullptr;   // [q_lora]
  PackedMatrix q_b;                  // [q_lora, heads * (nope + rope)]
  PackedMatrix kv_a;                 // [hidden, kv_lora + rope]
  const float* kv_a_norm = nullptr;  // [kv_lora]
  // Per head, both forms of kv_b: keys and values from the latent (expanded), and queries into the latent (absorbed).
  std::vector<PackedMatrix> key_up;      // [heads] of [kv_lora, nope]
  std::vector<PackedMatrix> value_up;    // [heads] of [kv_lora, v]
  std::vector<PackedMatrix> key_absorb;  // [heads] of [nope, kv_lora]: the transpose of key_up
  PackedMatrix out;                      // [heads * v, hidden]
};

struct GqaWeights {
  PackedMatrix q;                   // [hidden, heads * head_dim]
  PackedMatrix k, v;                // [hidden, kv_heads * head_dim]
  PackedMatrix out;                 // [heads * head_dim, hidden]
  const float* q_bias = nullptr;    // [q.n]; this and what follows is null where the model has none
  const float* k_bias = nullptr;    // [k.n]
  const float* v_bias = nullptr;    // [v.n]
  const float* out_bias = nullptr;  // [hidden]
  const float* q_norm = nullptr;    // [head_dim] or [q.n], see QkNorm
  const float* k_norm = nullptr;    // [head_dim] or [k.n]
  const float* sinks = nullptr;     // [heads]
};

struct MoeWeights {
  PackedMatrix router;  // [hidden, experts]; used with unrounded fp32 rows
  // What bf16 leaves over of a router that is stored in fp32, likewise rounded, and what that leaves over: the three
  // add up to the stored values. Null where the stored values are bf16's.
  std::array<PackedMatrix, 2> router_rest;
  const float* router_bias = nullptr;     // [experts]; null where the model has none
  const float* shared_gate = nullptr;     // [hidden]; null where the model has none
  const float* selection_bias = nullptr;  // [experts], fp32; null where the model has none
  std::vector<MlpWeights> experts;        // this rank's slice, by LocalExpert
  MlpWeights shared;                      // width 0 where there is none
};

struct LayerWeights {
  const float* attention_norm = nullptr;  // [hidden]
  const float* mlp_norm = nullptr;        // [hidden]
  MlaWeights mla;                         // as the model's AttentionKind says, the one or
  GqaWeights gqa;                         // the other
  MlpWeights dense;                       // where the layer is dense
  MoeWeights moe;                         // where it is not
};

struct Weights {
  const bf16* embedding = nullptr;  // [vocabulary, hidden], row-major
  std::vector<LayerWeights> layers;
  const float* final_norm = nullptr;
  PackedMatrix head;        // [hidden, vocabulary]
  std::uint64_t bytes = 0;  // memory held by this rank
  WeightsDigest digest;     // of what was read for it
  struct Storage;           // owner of everything above
  std::shared_ptr<const Storage> storage;
};

// Loads the slice of `rank`. load_format dummy: repeatable random weights from config.json alone (the same value for
// the same tensor element whatever the slice). Read, decoded and packed by all threads of the team; rank 0 logs how far
// it is. `between` is called by the calling thread between pieces; what it throws ends the loading. Throws UserError
// naming file, tensor, and what was expected.
Weights load_weights(
    const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
    const std::string& load_format, ThreadTeam& team, const std::function<void()>& between = [] {});
// The same on one thread.
Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format);
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
