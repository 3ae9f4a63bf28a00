// The routed experts that lie in a node's memory: those that its ranks hold, each once, whichever ranks hold it. Made
// by the engine and by planning; the walk over the tensors takes memory for all of them, on every rank of the node
// alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "model/placement.hpp"

namespace moemill::model {

class NodeExperts {
 public:
  NodeExperts() = default;
  // layers: [layers] ascending.
  explicit NodeExperts(std::vector<std::vector<GlobalExpert>> layers) : layers_(std::move(layers)) {}
  // Of a rank alone.
  NodeExperts(const Placement& placement, DomainRank rank) { add(placement, rank); }

  // Adds the experts of one more rank, which may belong to another expert domain with another placement.
  void add(const Placement& placement, DomainRank rank);
  void add(const NodeExperts& others);
  std::uint32_t layers() const { return static_cast<std::uint32_t>(layers_.size()); }
  // Ascending. Their places in all layers one behind the other are the experts' numbers on the node.
  std::span<const GlobalExpert> layer(LayerId layer) const { return layers_[static_cast<std::size_t>(layer.value)]; }
  std::size_t count() const;                // in all layers
  std::vector<std::size_t> counts() const;  // [layers]

 private:
  std::vector<std::vector<GlobalExpert>> layers_;
};

// One rank's part of what a node holds. All ranks of a node walk alike, so that each knows every place and can fill it;
// a rank finds in its weights only the experts that it may compute.
struct NodeShare {
  const Placement& placement;  // over the rank's expert domain
  DomainRank rank;
  const NodeExperts& node;      // with those of `computes`
  const NodeExperts& computes;  // of the ranks of its domain that share the memory, this one among them
};

}  // namespace moemill::model
