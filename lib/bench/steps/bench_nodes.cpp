#include "bench/steps/bench_nodes.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "base/numbers/rounding.hpp"
#include "plan/ranks.hpp"
#include "system/comm/agree.hpp"
#include "system/files/node_memory.hpp"

namespace moemill::bench {

std::vector<int> nodes_of_bench(const Comm& world, std::uint32_t nodes) {
  const auto ranks = static_cast<std::uint32_t>(world.size());
  return mill::nodes_of_ranks(mill::machines_of_world(world, world.split_by_node()),
                              nodes > 0 ? std::optional(divide_up(ranks, nodes)) : std::nullopt);
}

std::vector<int> memory_of_bench(const Comm& world, const std::vector<int>& node_of_rank) {
  const Comm mates = world.split(node_of_rank[static_cast<std::size_t>(world.rank())], world.rank());
  constexpr std::uint64_t little = 4096;
  std::string fault;
  if (mates.size() > 1) fault = NodeMemory::share(mates, little).why_not;
  const std::vector<char> failed = gather(world, static_cast<char>(!fault.empty()));
  const auto first = std::find(failed.begin(), failed.end(), 1);
  if (first == failed.end()) return node_of_rank;
  const std::string why = broadcast_text(world, fault, static_cast<int>(first - failed.begin()));
  if (world.rank() == 0)
    log::warning("ranks of a node cannot share memory: {}; each has its own copy, and rows travel in messages", why);
  std::vector<int> apart(node_of_rank.size());
  std::iota(apart.begin(), apart.end(), 0);
  return apart;
}

}  // namespace moemill::bench
