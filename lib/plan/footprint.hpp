// The weights and the workspace that a rank of a job will hold in memory, computed without loading anything. KV pages
// (kv_plan) come on top. Used by plan/fit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "model/config.hpp"

namespace moemill::mill {

// Who holds a copy of the weights that ranks of a node have in common.
enum class Copies { OneANode, OneARank };

// The expert domains of a job's ranks, which need not be running.
struct JobShape {
  std::uint32_t ranks = 1;
  std::uint32_t ranks_per_node = 1;        // of the node with most
  Copies copies = Copies::OneARank;        // by parallel.node_memory
  std::vector<int> node;                   // [ranks] the number of the rank's node, ascending
  std::vector<int> domain;                 // [ranks] the number of the rank's expert domain
  std::vector<std::uint32_t> domain_size;  // [ranks] its size
  std::vector<std::uint32_t> domain_rank;  // [ranks] the rank's number in its domain
  std::uint32_t redundant_experts = 0;     // of a layer and domain
  std::string warning;                     // of domains that cut nodes

  std::uint32_t nodes() const { return static_cast<std::uint32_t>(node.back()) + 1; }
};
// The node of each rank where nodes have so many ranks, the last one perhaps fewer.
std::vector<int> nodes_in_a_row(std::uint32_t ranks, std::uint32_t ranks_per_node);
// nodes: [ranks] as above. UserError if parallel.expert_domain, which must not be auto, does not divide the ranks.
JobShape shape_of(const ParallelSettings& settings, std::span<const int> nodes);

struct WeightShare {
  std::uint64_t replicated_bytes = 0;       // what every rank uses: attention, embedding, head, shared and dense MLPs
  std::uint64_t rank_bytes = 0;             // what the rank with most uses
  std::uint64_t node_bytes = 0;             // of the node that holds most
  std::uint64_t shared_bytes = 0;           // all of node_bytes if its ranks hold one copy, otherwise 0
  std::uint32_t fewest_experts = 0;         // per rank and layer
  std::uint32_t most_experts = 0;           // per rank and layer
  std::uint32_t ranks_without_experts = 0;  // if there are more ranks than experts
};
// UserError if there are more redundant experts than the nodes of a domain can take apart.
WeightShare weight_share(const model::ModelConfig& config, const JobShape& shape);

// An expert domain, of those of a job that with most of each.
struct DomainSize {
  std::uint32_t ranks = 1;
  std::uint32_t nodes = 1;  // where ranks share no memory, each counts as one
  std::uint32_t senders =
      0;  // ranks of other nodes that send rows to one rank: more than one a node where nodes differ
};
DomainSize largest_domain(const JobShape& shape);
// Bytes of a rank's buffers in forward pass and exchange for full steps.
std::uint64_t workspace_bytes(const model::ModelConfig& config, const ParallelSettings& settings, DomainSize domain);
// Bytes that a rank's threads take besides, each for itself, while they compute products.
std::uint64_t scratch_bytes(const model::ModelConfig& config, const ParallelSettings& settings);

}  // namespace moemill::mill
