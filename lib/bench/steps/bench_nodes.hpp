// Which ranks of a benchmark share memory. Used by the benchmarks of exchange and steps.
#pragma once

#include <cstdint>
#include <vector>

#include "system/comm/comm.hpp"

namespace moemill::bench {

// [ranks] the node of each rank: its machine, or with `nodes` > 0 a part of it, as if the ranks were dealt to so many.
// Collective.
std::vector<int> nodes_of_bench(const Comm& world, std::uint32_t nodes);
// [ranks] equal numbers for ranks of a node that can share memory. Where those of any node cannot, no two ranks do, as
// in a run, and rank 0's log says why. Collective.
std::vector<int> memory_of_bench(const Comm& world, const std::vector<int>& node_of_rank);

}  // namespace moemill::bench
