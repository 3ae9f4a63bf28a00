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
  Comm domain;                           // the ranks that together hold one copy of the routed experts
  Comm mates;                            // the ranks that hold one copy of their weights: the node's, or this one alone
  std::vector<int> node_of_domain_rank;  // [domain size]
  std::vector<std::string> hosts;        // the world's hosts, each once, in the order of their first rank
  int nodes = 1;                         // as MPI reports them, cut further by parallel.ranks_per_node
  int ranks_sharing_memory = 1;          // ranks on this rank's machine, as MPI reports them
  RankCores cores;                       // threads of this rank, and cores of all ranks
};

// [ranks] the machine of each rank of the world, known by its lowest rank. `shared` are the ranks that share this
// rank's memory. Collective over both.
std::vector<int> machines_of_world(const Comm& world, const Comm& shared);

// The node of each rank, numbered from 0 in the order of their first ranks. `machines` [ranks] has a number for each
// rank's machine. A node is a machine, or with `ranks_per_node` so many of its ranks; the last node of a machine may
// have fewer.
std::vector<int> nodes_of_ranks(std::span<const int> machines, std::optional<std::uint32_t> ranks_per_node);

// AgreedFailure if expert_domain does not divide the world.
Ranks arrange_ranks(const Comm& world, const ParallelSettings& settings);

// The number of the rank's domain, by parallel.expert_domain; `node` is the rank's node. UserError with both numbers if
// the domain does not divide the world. Also used by validate, without any ranks.
int domain_of(const std::string& expert_domain, int rank, int world_size, int node);

}  // namespace moemill::mill
