// The layout of the ranks: nodes, and the expert domain of this rank. Created once at the start; collective.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "plan/cores.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

struct Ranks {
  Comm world;
  Comm domain;  // the ranks that together hold one copy of the routed experts
  int domains = 1;
  Comm mates;                            // the ranks that hold one copy of their weights: the node's, or this one alone
  std::vector<int> node_of_domain_rank;  // [domain size]
  std::vector<std::string> hosts;        // the world's hosts, each once, in the order of their first rank
  std::vector<int> node_of_rank;         // [world size] as MPI reports them, cut further by parallel.ranks_per_node
  int nodes = 1;
  Comm machine;     // ranks on this rank's machine, as MPI reports them
  RankCores cores;  // threads of this rank, and cores of all ranks
};

// [ranks] the machine of each rank of the world, known by its lowest rank. `shared` are the ranks that share this
// rank's memory. Collective over both.
std::vector<int> machines_of_world(const Comm& world, const Comm& shared);

// The node of each rank, numbered from 0 in the order of their first ranks. `machines` [ranks] has a number for each
// rank's machine. A node is a machine, or with `ranks_per_node` so many of its ranks; the last node of a machine may
// have fewer.
std::vector<int> nodes_of_ranks(std::span<const int> machines, std::optional<std::uint32_t> ranks_per_node);

// AgreedFailure if expert_domain does not divide the world. Rank 0 warns of domains that cut nodes. With expert_domain:
// auto the domain is the whole world until spread_experts() is told what auto stands for.
Ranks arrange_ranks(const Comm& world, const ParallelSettings& settings);
// Makes the domains anew, by world, node or a number of ranks. Collective; fails as above.
void spread_experts(Ranks& ranks, const std::string& expert_domain);

// The domain of each rank by parallel.expert_domain (not auto: plan/expert_domain.hpp), numbered from 0; `nodes`
// [ranks] has the ranks' nodes. A domain of some ranks takes one node after the other, whatever the ranks' numbers.
// UserError with both numbers if the domain does not divide the ranks. Also used by validate, without any ranks.
std::vector<int> domains_of_ranks(const std::string& expert_domain, std::span<const int> nodes);

// Of domains that have ranks of several nodes and not all of each: what that costs and how to set expert_domain; ""
// without such domains.
std::string cut_nodes_warning(const std::string& expert_domain, std::span<const int> nodes,
                              std::span<const int> domains);

}  // namespace moemill::mill
