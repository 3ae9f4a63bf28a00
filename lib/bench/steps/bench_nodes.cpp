#include "bench/steps/bench_nodes.hpp"

#include <optional>

#include "base/numbers/rounding.hpp"
#include "plan/ranks.hpp"

namespace moemill::bench {

std::vector<int> nodes_of_bench(const Comm& world, std::uint32_t nodes) {
  const auto ranks = static_cast<std::uint32_t>(world.size());
  return mill::nodes_of_ranks(mill::machines_of_world(world, world.split_by_node()),
                              nodes > 0 ? std::optional(divide_up(ranks, nodes)) : std::nullopt);
}

}  // namespace moemill::bench
