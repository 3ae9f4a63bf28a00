// One number of every rank, put together. Used by the benchmarks whose ranks work at the same time.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "system/comm/comm.hpp"

namespace moemill::bench {

struct OverRanks {
  double slowest = 0;  // the largest
  double sum = 0;
  double mean = 0;
};
// Collective.
inline OverRanks over_ranks(const Comm& world, double mine) {
  const std::vector<double> all = gather(world, mine);
  const double sum = std::accumulate(all.begin(), all.end(), 0.0);
  return {*std::max_element(all.begin(), all.end()), sum, sum / static_cast<double>(all.size())};
}

}  // namespace moemill::bench
