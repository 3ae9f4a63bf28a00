// What a thread takes of its stream's scratch memory for a model's products. Asked by plan/footprint, when nothing is
// loaded yet.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/gemm_scratch.hpp"
#include "model/config.hpp"

namespace moemill::cpu {

inline std::uint32_t most_inputs_of_products(const model::ModelConfig& config) {
  const bool latent = config.attention == model::AttentionKind::Latent;
  const std::uint32_t attended = latent ? config.mla.heads * config.mla.v_dim : config.gqa.heads * config.gqa.head_dim;
  return std::max({config.hidden, attended, config.mla.q_lora_rank, config.mla.kv_lora_rank, config.dense_width,
                   config.moe.shared_width, config.moe.expert_width});
}

// At most, on this machine.
inline std::size_t product_scratch_bytes(const model::ModelConfig& config) {
  return product_scratch_bytes(Stream(), most_inputs_of_products(config));
}

}  // namespace moemill::cpu
