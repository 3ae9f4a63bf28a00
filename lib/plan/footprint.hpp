// What a rank of a job will hold in memory, worked out without loading anything: weights, workspace, the process
// itself. KV pages come on top (kv_plan). Used by validate.
#pragma once

#include <cstdint>
#include <vector>

#include "base/run_config.hpp"
#include "model/config.hpp"

namespace moemill::mill {

// Who holds which routed experts, for every rank of a job that need not be there.
struct JobShape {
  std::uint32_t ranks = 1;
  std::uint32_t ranks_per_node = 1;
  std::vector<std::uint32_t> domain_size;  // [ranks] of the rank's expert domain
  std::vector<std::uint32_t> domain_rank;  // [ranks] its place in it

  std::uint32_t nodes() const { return (ranks + ranks_per_node - 1) / ranks_per_node; }
};
// UserError when parallel.expert_domain does not divide the ranks.
JobShape shape_of(const ParallelSettings& settings, std::uint32_t ranks, std::uint32_t ranks_per_node);

struct WeightShare {
  std::uint64_t replicated_bytes = 0;       // every rank has them: attention, embedding, head, shared and dense MLPs
  std::uint64_t rank_bytes = 0;             // of the rank that holds most
  std::uint64_t node_bytes = 0;             // of the node that holds most
  std::uint32_t fewest_experts = 0;         // a rank and layer
  std::uint32_t most_experts = 0;           // a rank and layer
  std::uint32_t ranks_without_experts = 0;  // more ranks than experts
};
WeightShare weight_share(const model::ModelConfig& config, const JobShape& shape);

// Buffers of a rank's forward pass and exchange for full steps, in a domain of that many ranks.
std::uint64_t workspace_bytes(const model::ModelConfig& config, const ParallelSettings& settings,
                              std::uint32_t domain_ranks);

}  // namespace moemill::mill
