// Which node computes a pick, and at which slot: the placement as the ranks of one node see it. A slot is an expert of
// a node: its place among the experts that the node's ranks hold, ascending. Made once by the exchange.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "layers/dispatch/domain_nodes.hpp"
#include "model/placement.hpp"
#include "weights/node_experts.hpp"

namespace moemill::layers {

// Where a pick is computed.
struct SlotPlace {
  std::uint32_t node = 0;
  std::uint32_t slot = 0;
  friend bool operator==(const SlotPlace&, const SlotPlace&) = default;
};

// The places of a layer's experts, for picks by rows of one node. Where an expert has several, its picks take turns: a
// turn is a number of 32 bits, and a place takes those up to its `until`.
struct PickPlaces {
  std::span<const std::uint32_t> begin;  // [experts + 1] places of expert e are [begin[e], begin[e + 1])
  std::span<const SlotPlace> place;
  std::span<const std::uint32_t> until;  // ascending within an expert; every last one is the largest number
};

// What the ranks of a node hold of a domain's experts, each expert once.
model::NodeExperts experts_of(const model::Placement& placement, std::span<const int> ranks);

class DispatchTable {
 public:
  DispatchTable(const model::Placement& placement, const DomainNodes& nodes, std::uint32_t home);

  // Where picks of the experts by rows of this node are computed: here, as far as this node's part of the expert's
  // picks goes (LayerPlacement::shares), if all ranks have as many rows; the others on nodes whose own rows do not use
  // their part up, in proportion to what is left of it. So each copy computes its part of the domain's picks.
  PickPlaces places(LayerId layer) const { return {at(layer).begin, at(layer).place, at(layer).until}; }
  // The number of experts that this node holds.
  std::uint32_t slots(LayerId layer) const { return static_cast<std::uint32_t>(at(layer).owner.size()); }
  // [slots] the place within the node of the first rank that holds the expert.
  std::span<const std::uint32_t> owner_of_slot(LayerId layer) const { return at(layer).owner; }
  // The most slots of any node in any layer.
  std::uint32_t most_slots() const { return most_slots_; }

 private:
  struct Layer {
    std::vector<std::uint32_t> begin{0}, until;  // as PickPlaces has them
    std::vector<SlotPlace> place;
    std::vector<std::uint32_t> owner;
  };
  const Layer& at(LayerId layer) const { return layers_[static_cast<std::size_t>(layer.value)]; }

  std::vector<Layer> layers_;
  std::uint32_t most_slots_ = 0;
};

}  // namespace moemill::layers
