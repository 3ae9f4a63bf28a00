// Who sits where: nodes, and the expert domain that this rank belongs to. Made once at the start; collective.
#pragma once

#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "plan/cores.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

struct Ranks {
  Comm world;
  Comm domain;                           // the ranks that hold one copy of the routed experts between them
  std::vector<int> node_of_domain_rank;  // [domain size]
  std::vector<std::string> hosts;        // of the world's ranks, each once, in the order of their first rank
  int nodes = 1;                         // by ranks_per_node where that is set
  int ranks_sharing_memory = 1;          // on this rank's machine, as MPI reports it
  RankCores cores;                       // threads of this rank, and what all of them take
};

// AgreedFailure when expert_domain does not divide the world.
Ranks arrange_ranks(const Comm& world, const ParallelSettings& settings);

// The rank's domain by the rules of parallel.expert_domain: same number, same domain. `node` is this rank's node.
// UserError naming both numbers when they do not divide. Also used by validate, without any ranks.
int domain_of(const std::string& expert_domain, int rank, int world_size, int node);

}  // namespace moemill::mill
