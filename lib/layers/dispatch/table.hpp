// Which rank computes a pick, and at which slot: the placement as one rank sees it. Made once by the exchange.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "model/placement.hpp"

namespace moemill::layers {

// The holder of an expert that computes a row of rank `home`: the rank itself if it holds the expert, else the lowest
// rank that does.
inline model::Holder chosen_holder(std::span<const model::Holder> holders, DomainRank home) {
  for (const model::Holder& holder : holders) {
    if (holder.rank == home) return holder;
  }
  return holders.front();
}

class DispatchTable {
 public:
  DispatchTable(const model::Placement& placement, DomainRank home) {
    for (std::uint32_t l = 0; l < placement.layers(); ++l) {
      const model::LayerPlacement& layer = placement.layer({static_cast<std::int32_t>(l)});
      Layer& own = layers_.emplace_back();
      own.slots = static_cast<std::uint32_t>(layer.slots(home).size());
      for (std::uint32_t e = 0; e < layer.experts(); ++e) {
        const model::Holder holder = chosen_holder(layer.holders({static_cast<std::int32_t>(e)}), home);
        highest_slot_ = std::max(highest_slot_, static_cast<std::uint32_t>(holder.slot.value));
        own.holders.push_back(holder);
      }
    }
  }

  // [experts] the holder that computes a pick of the expert by one of this rank's rows.
  std::span<const model::Holder> holders(LayerId layer) const { return at(layer).holders; }
  // The number of experts that this rank holds.
  std::uint32_t slots(LayerId layer) const { return at(layer).slots; }
  // The highest slot of any holder in any layer.
  std::uint32_t highest_slot() const { return highest_slot_; }

 private:
  struct Layer {
    std::vector<model::Holder> holders;
    std::uint32_t slots = 0;
  };
  const Layer& at(LayerId layer) const { return layers_[static_cast<std::size_t>(layer.value)]; }

  std::vector<Layer> layers_;
  std::uint32_t highest_slot_ = 0;
};

}  // namespace moemill::layers
