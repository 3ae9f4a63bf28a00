#include "layers/dispatch/table.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace moemill::layers {

namespace {

std::uint32_t slot_of(std::span<const GlobalExpert> experts, GlobalExpert expert) {
  return static_cast<std::uint32_t>(std::lower_bound(experts.begin(), experts.end(), expert) - experts.begin());
}

// A copy of an expert, on a node.
struct Copy {
  SlotPlace place;
  double share = 0;    // of the expert's picks
  double of_rows = 0;  // the node's part of all rows
};

std::vector<Copy> copies_of(const model::LayerPlacement& layer, GlobalExpert expert, LayerId id,
                            const DomainNodes& nodes, std::span<const model::NodeExperts> held) {
  std::vector<Copy> copies;
  for (std::size_t h = 0; h < layer.holders(expert).size(); ++h) {
    const std::uint32_t node = nodes.node_of(layer.holders(expert)[h].rank.value);
    auto copy = std::find_if(copies.begin(), copies.end(), [&](const Copy& c) { return c.place.node == node; });
    if (copy == copies.end()) {
      const double of_rows = static_cast<double>(nodes.ranks_of(node).size()) / nodes.ranks();
      copy = copies.insert(copy, {{node, slot_of(held[node].layer(id), expert)}, 0, of_rows});
    }
    copy->share += layer.shares(expert)[h];
  }
  return copies;
}

// Adds the places of an expert's copies. What a home without a copy, or beyond its own part, sends to a node is in
// proportion to what the rows of that node leave of its part.
void add_places(std::span<const Copy> copies, std::uint32_t home, std::vector<SlotPlace>& place,
                std::vector<std::uint32_t>& until) {
  const auto left_of = [&](const Copy& c) { return c.place.node == home ? 0 : std::max(0.0, c.share - c.of_rows); };
  double own = 0, left = 0, end = 0;
  for (const Copy& copy : copies) {
    if (copy.place.node == home) own = std::min(1.0, copy.share / copy.of_rows);
    left += left_of(copy);
  }
  if (left == 0) own = 1;
  for (const Copy& copy : copies) {
    const double part = copy.place.node == home ? own : own < 1 ? (1 - own) * left_of(copy) / left : 0;
    if (part == 0) continue;
    end = std::min(1.0, end + part);
    place.push_back(copy.place);
    until.push_back(static_cast<std::uint32_t>(end * std::numeric_limits<std::uint32_t>::max()));
  }
  until.back() = std::numeric_limits<std::uint32_t>::max();
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
    for (const model::NodeExperts& node : held)
      most_slots_ = std::max(most_slots_, static_cast<std::uint32_t>(node.layer(id).size()));
    for (std::uint32_t e = 0; e < layer.experts(); ++e) {
      const GlobalExpert expert{static_cast<std::int32_t>(e)};
      add_places(copies_of(layer, expert, id, nodes, held), home, own.place, own.until);
      own.begin.push_back(static_cast<std::uint32_t>(own.place.size()));
    }
    for (const GlobalExpert expert : held[home].layer(id)) {
      const std::span<const model::Holder> holders = layer.holders(expert);
      const auto first = std::find_if(holders.begin(), holders.end(),
                                      [&](const model::Holder& h) { return nodes.node_of(h.rank.value) == home; });
      own.owner.push_back(nodes.place_of(first->rank.value));
    }
  }
}

}  // namespace moemill::layers
