#include "plan/ranks.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <utility>

#include "base/error.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/host.hpp"

namespace moemill::mill {
namespace {

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

std::vector<int> machines_of_world(const Comm& world, const Comm& shared) {
  const std::vector<int> beside = gather(shared, world.rank());
  return gather(world, *std::min_element(beside.begin(), beside.end()));
}

std::vector<int> nodes_of_ranks(std::span<const int> machines, std::optional<std::uint32_t> ranks_per_node) {
  std::map<int, std::uint32_t> ranks_before;            // by machine
  std::map<std::pair<int, std::uint32_t>, int> number;  // by machine and its part
  std::vector<int> nodes;
  for (const int machine : machines) {
    const std::uint32_t before = ranks_before[machine]++, part = ranks_per_node ? before / *ranks_per_node : 0;
    nodes.push_back(number.try_emplace({machine, part}, static_cast<int>(number.size())).first->second);
  }
  return nodes;
}

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
  const std::vector<int> nodes = nodes_of_ranks(machines_of_world(world, shared), settings.ranks_per_node);
  const int node = nodes[static_cast<std::size_t>(world.rank())];
  int domain = 0;
  run_on_all_ranks(world, [&] { domain = domain_of(settings.expert_domain, world.rank(), world.size(), node); });
  Ranks ranks{world,
              world.split(domain, world.rank()),
              world.split(settings.node_memory == "off" ? world.rank() : node, world.rank()),
              {},
              hosts_of_world(world),
              1 + *std::max_element(nodes.begin(), nodes.end()),
              shared.size(),
              arrange_cores(world, shared, settings)};
  ranks.node_of_domain_rank = gather(ranks.domain, node);
  return ranks;
}

}  // namespace moemill::mill
