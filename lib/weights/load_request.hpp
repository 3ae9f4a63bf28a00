// What a rank loads, and what its node does. Made by whoever loads weights: backends, benchmarks and tests.
#pragma once

#include <string>

#include "model/config.hpp"
#include "model/placement.hpp"
#include "weights/node_experts.hpp"

namespace moemill::model {

enum class Announce { Nothing, Progress };

struct LoadRequest {
  std::string dir;
  const ModelConfig& config;  // as read_config returns it; it outlives the load
  Placement placement;        // over the rank's expert domain
  DomainRank rank;
  std::string load_format;
  NodeExperts node;      // what the ranks hold that load into the same memory; the same on all of them
  NodeExperts computes;  // what those of them hold that are of this rank's domain
  Announce announce;

  // Of a rank alone.
  LoadRequest(std::string dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
              std::string load_format)
      : LoadRequest(std::move(dir), config, placement, rank, std::move(load_format), NodeExperts(placement, rank),
                    NodeExperts(placement, rank)) {}
  LoadRequest(std::string dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
              std::string load_format, NodeExperts node, NodeExperts computes)
      : dir(std::move(dir)),
        config(config),
        placement(placement),
        rank(rank),
        load_format(std::move(load_format)),
        node(std::move(node)),
        computes(std::move(computes)),
        announce(rank.value == 0 ? Announce::Progress : Announce::Nothing) {}

  NodeShare share() const { return {placement, rank, node, computes}; }
};

}  // namespace moemill::model
