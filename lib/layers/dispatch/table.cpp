#include "layers/dispatch/table.hpp"

#include <algorithm>

namespace moemill::layers {

namespace {

std::uint32_t slot_of(std::span<const GlobalExpert> experts, GlobalExpert expert) {
  return static_cast<std::uint32_t>(std::lower_bound(experts.begin(), experts.end(), expert) - experts.begin());
}

// The first holder on the node `home`, or the first of all.
const model::Holder& chosen_holder(std::span<const model::Holder> holders, const DomainNodes& nodes,
                                   std::uint32_t home) {
  const auto here = std::find_if(holders.begin(), holders.end(),
                                 [&](const model::Holder& h) { return nodes.node_of(h.rank.value) == home; });
  return here == holders.end() ? holders.front() : *here;
}

}  // namespace

model::NodeExperts experts_of(const model::Placement& placement, std::span<const int> ranks) {
  model::NodeExperts experts;
  for (const int rank : ranks) experts.add(placement, {rank});
  return experts;
}

DispatchTable::DispatchTable(const model::Placement& placement, const DomainNodes& nodes, std::uint32_t home) {
  std::vector<model::NodeExperts> held;
  for (std::uint32_t n = 0; n < nodes.nodes(); ++n) held.push_back(experts_of(placement, nodes.ranks_of(n)));
  for (std::uint32_t l = 0; l < placement.layers(); ++l) {
    const LayerId id{static_cast<std::int32_t>(l)};
    const model::LayerPlacement& layer = placement.layer(id);
    Layer& own = layers_.emplace_back();
    own.owner.resize(held[home].layer(id).size());
    for (const model::NodeExperts& node : held)
      most_slots_ = std::max(most_slots_, static_cast<std::uint32_t>(node.layer(id).size()));
    for (std::uint32_t e = 0; e < layer.experts(); ++e) {
      const GlobalExpert expert{static_cast<std::int32_t>(e)};
      const model::Holder& holder = chosen_holder(layer.holders(expert), nodes, home);
      const std::uint32_t node = nodes.node_of(holder.rank.value);
      own.places.push_back({node, slot_of(held[node].layer(id), expert)});
      if (node == home) own.owner[own.places.back().slot] = nodes.place_of(holder.rank.value);
    }
  }
}

}  // namespace moemill::layers
