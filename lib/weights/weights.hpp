// One rank's weights as its kernels take them: the replicated part (attention, embedding, norms, routers, dense and
// shared MLPs, head) and the rank's routed experts. The structures are templates over a backend's matrix type: a view
// with at least the members k (inputs) and n (outputs) and the type Space, the memory space of all weights. A vector
// that the model does not have is empty: it has no memory. Filled by weights/load.hpp; weights/cpu/weights.hpp has the
// CPU's names.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"
#include "system/files/node_memory.hpp"
#include "weights/weights_digest.hpp"

namespace moemill::model {

// Values of a norm, a bias and the like, in fp32.
template <class Matrix>
using WeightVector = Vector<const float, typename Matrix::Space>;

// Gate and up lie side by side in one matrix: gate in columns [0, width), up in [up_offset, up_offset + width). The
// layout chooses up_offset.
template <class Matrix>
struct MlpWeightsOf {
  Matrix gate_up;
  Matrix down;  // [width, hidden]
  std::uint32_t width = 0;
  std::uint32_t up_offset = 0;
  WeightVector<Matrix> gate_up_bias = {};  // [gate_up.n], one per column of gate_up
  WeightVector<Matrix> down_bias = {};     // [hidden]
};

template <class Matrix>
struct MlaWeightsOf {
  Matrix q;                        // [hidden, heads * (nope + rope)], without q-LoRA
  Matrix q_a;                      // [hidden, q_lora]
  WeightVector<Matrix> q_a_norm;   // [q_lora]
  Matrix q_b;                      // [q_lora, heads * (nope + rope)]
  Matrix kv_a;                     // [hidden, kv_lora + rope]
  WeightVector<Matrix> kv_a_norm;  // [kv_lora]
  // kv_b per head, in both forms: keys and values from the latent (expanded), and queries into the latent (absorbed).
  std::vector<Matrix> key_up;      // [heads] of [kv_lora, nope]
  std::vector<Matrix> value_up;    // [heads] of [kv_lora, v]
  std::vector<Matrix> key_absorb;  // [heads] of [nope, kv_lora]: the transpose of key_up
  Matrix out;                      // [heads * v, hidden]
};

template <class Matrix>
struct GqaWeightsOf {
  Matrix q;                       // [hidden, heads * head_dim]
  Matrix k, v;                    // [hidden, kv_heads * head_dim]
  Matrix out;                     // [heads * head_dim, hidden]
  WeightVector<Matrix> q_bias;    // [q.n]
  WeightVector<Matrix> k_bias;    // [k.n]
  WeightVector<Matrix> v_bias;    // [v.n]
  WeightVector<Matrix> out_bias;  // [hidden]
  WeightVector<Matrix> q_norm;    // [head_dim] or [q.n], see QkNorm
  WeightVector<Matrix> k_norm;    // [head_dim] or [k.n]
  WeightVector<Matrix> sinks;     // [heads]
};

template <class Matrix>
struct MoeWeightsOf {
  Matrix router;  // [hidden, experts]; multiplied with unrounded fp32 rows
  // For a router that is stored in fp32: the stored value minus `router`, rounded to bf16, and what is still missing.
  // The three matrices add up to the stored values. Without data where the stored values are bf16.
  std::array<Matrix, 2> router_rest;
  WeightVector<Matrix> router_bias;     // [experts]
  WeightVector<Matrix> shared_gate;     // [hidden]
  WeightVector<Matrix> selection_bias;  // [experts]
  // The experts that this rank may compute, ascending: those of all ranks of its domain that share its memory.
  std::vector<MlpWeightsOf<Matrix>> experts;
  MlpWeightsOf<Matrix> shared;  // width 0 where there is none
};

template <class Matrix>
struct LayerWeightsOf {
  WeightVector<Matrix> attention_norm;                                 // [hidden]
  WeightVector<Matrix> mlp_norm;                                       // [hidden]
  std::variant<MlaWeightsOf<Matrix>, GqaWeightsOf<Matrix>> attention;  // as the model's AttentionKind says
  MlpWeightsOf<Matrix> dense;                                          // of a dense layer
  MoeWeightsOf<Matrix> moe;                                            // of a layer with routed experts
};

template <class Matrix>
struct WeightsOf {
  Rows<const bf16, typename Matrix::Space> embedding;  // [vocabulary, hidden]
  std::vector<LayerWeightsOf<Matrix>> layers;
  WeightVector<Matrix> final_norm;  // [hidden]
  Matrix head;                      // [hidden, vocabulary]
  std::uint64_t bytes = 0;          // of all weights in this rank's memory, or in its node's if the ranks share it
  WeightsDigest digest;             // of the files' bytes behind what this rank holds
  std::shared_ptr<const NodeMemory> storage;  // has everything above; copies of this structure are views of it
  std::uint64_t huge_bytes = 0;               // of storage that the node shares: what lies on huge pages
};

}  // namespace moemill::model
