// Which ranks of a benchmark share memory. Used by the benchmarks of exchange and steps.
#pragma once

#include <cstdint>
#include <vector>

#include "system/comm/comm.hpp"

namespace moemill::bench {

// [ranks] the node of each rank: its machine, or with `nodes` > 0 a part of it, as if the ranks were dealt to so many.
// Collective.
std::vector<int> nodes_of_bench(const Comm& world, std::uint32_t nodes);

}  // namespace moemill::bench
