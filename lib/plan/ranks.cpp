#include "plan/ranks.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <set>
#include <span>

#include "base/error.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/host.hpp"

namespace moemill::mill {
namespace {

// The node of each rank of the world. Nodes are numbered from 0 in the order of their first ranks.
std::vector<int> nodes_of_world(const Comm& world, const Comm& shared, const ParallelSettings& settings) {
  const std::vector<int> beside = gather(shared, world.rank());
  std::vector<int> first = gather(world, *std::min_element(beside.begin(), beside.end()));
  if (settings.ranks_per_node) {
    for (int r = 0; r < world.size(); ++r)
      first[static_cast<std::size_t>(r)] = r / static_cast<int>(*settings.ranks_per_node);
  }
  std::set<int> distinct(first.begin(), first.end());
  for (int& node : first) node = static_cast<int>(std::distance(distinct.begin(), distinct.find(node)));
  return first;
}

std::vector<std::string> hosts_of_world(const Comm& world) {
  std::array<char, 256> mine{};
  host_name().copy(mine.data(), mine.size() - 1);
  std::vector<std::string> hosts;
  for (const auto& name : gather(world, mine)) {
    if (std::find(hosts.begin(), hosts.end(), name.data()) == hosts.end()) hosts.emplace_back(name.data());
  }
  return hosts;
}

}  // namespace

int domain_of(const std::string& expert_domain, int rank, int world_size, int node) {
  if (expert_domain == "world") return 0;
  if (expert_domain == "node") return node;
  std::int64_t ranks = 0;
  std::from_chars(expert_domain.data(), expert_domain.data() + expert_domain.size(), ranks);
  if (ranks <= 0 || world_size % ranks != 0)
    user_error(
        "parallel.expert_domain: {} does not divide the {} ranks of this job; start a multiple of {} ranks, or set "
        "it to world, node or a divisor of {}",
        expert_domain, world_size, expert_domain, world_size);
  return static_cast<int>(rank / ranks);
}

Ranks arrange_ranks(const Comm& world, const ParallelSettings& settings) {
  Comm shared = world.split_by_node();
  std::vector<int> nodes = nodes_of_world(world, shared, settings);
  int domain = 0;
  run_on_all_ranks(world, [&] {
    domain =
        domain_of(settings.expert_domain, world.rank(), world.size(), nodes[static_cast<std::size_t>(world.rank())]);
  });
  Ranks ranks{world,
              world.split(domain, world.rank()),
              {},
              hosts_of_world(world),
              1 + *std::max_element(nodes.begin(), nodes.end()),
              shared.size(),
              arrange_cores(world, shared, settings)};
  ranks.node_of_domain_rank = gather(ranks.domain, nodes[static_cast<std::size_t>(world.rank())]);
  return ranks;
}

}  // namespace moemill::mill
