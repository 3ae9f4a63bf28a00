// A model cut to what the memory of its ranks holds: fewer layers, and if need be fewer experts. Used by
// `bench calibrate`.
#pragma once

#include <cstdint>

#include "model/config.hpp"

namespace moemill::bench {

// Whether the weights of rank 0, which has no fewer than the others, take at most `bytes`.
bool fits(const model::ModelConfig& config, std::uint32_t ranks, std::uint64_t bytes);

model::ModelConfig first_layers(const model::ModelConfig& config, std::uint32_t layers);

// The model with as many layers, and then experts, as `bytes` of weights on each rank allow; always a layer of each
// kind.
model::ModelConfig cut_to_size(const model::ModelConfig& config, std::uint32_t ranks, std::uint64_t bytes);

}  // namespace moemill::bench
