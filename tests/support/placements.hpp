// Placements of experts that no builder of the program makes, for tests that no byte depends on them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/placement.hpp"

namespace moemill::test {

// Slices: as the engine places them. Shuffled: dealt out to the ranks in turn, backwards, from a different expert in
// each layer. SomeTwice: likewise, and every third expert is held by a second rank, too, where there is one.
enum class Spread { Slices, Shuffled, SomeTwice };

inline model::LayerPlacement layer_placement_for(std::uint32_t experts, std::uint32_t ranks, Spread spread,
                                                 std::uint32_t layer = 0) {
  if (spread == Spread::Slices) return model::contiguous_slices(experts, ranks);
  std::vector<std::vector<GlobalExpert>> slots(ranks);
  for (std::uint32_t i = 0; i < experts; ++i) {
    const std::uint32_t expert = (2 * experts - 1 - i + layer) % experts;
    slots[i % ranks].push_back({static_cast<std::int32_t>(expert)});
    if (spread == Spread::SomeTwice && ranks > 1 && expert % 3 == 0) {
      slots[(i + 1) % ranks].push_back({static_cast<std::int32_t>(expert)});
    }
  }
  return {experts, slots};
}

inline model::Placement placement_for(const model::ModelConfig& config, std::uint32_t ranks, Spread spread) {
  std::vector<model::LayerPlacement> layers;
  for (std::uint32_t l = 0; l < config.layers; ++l) {
    layers.push_back(layer_placement_for(config.layer_is_moe[l] ? config.moe.experts : 0, ranks, spread, l));
  }
  return model::Placement(std::move(layers));
}

}  // namespace moemill::test
