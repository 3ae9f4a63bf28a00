#include "plan/ranks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <numeric>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
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

std::vector<int> domains_of_ranks(const std::string& expert_domain, std::span<const int> nodes) {
  expect(expert_domain != "auto", "auto stands for a layout, which choose_domain() knows");
  if (expert_domain == "world") return std::vector<int>(nodes.size(), 0);
  if (expert_domain == "node") return {nodes.begin(), nodes.end()};
  std::size_t ranks = 0;
  std::from_chars(expert_domain.data(), expert_domain.data() + expert_domain.size(), ranks);
  if (ranks == 0 || nodes.size() % ranks != 0)
    user_error(
        "parallel.expert_domain: {} does not divide the {} ranks of this job; start a multiple of {} ranks, or set "
        "it to world, node or a divisor of {}",
        expert_domain, nodes.size(), expert_domain, nodes.size());
  std::vector<std::size_t> by_node(nodes.size());  // ranks
  std::iota(by_node.begin(), by_node.end(), std::size_t{0});
  std::ranges::stable_sort(by_node, {}, [&](std::size_t rank) { return nodes[rank]; });
  std::vector<int> domains(nodes.size());
  for (std::size_t place = 0; place < by_node.size(); ++place)
    domains[by_node[place]] = static_cast<int>(place / ranks);
  return domains;
}

std::string cut_nodes_warning(const std::string& expert_domain, std::span<const int> nodes,
                              std::span<const int> domains) {
  std::map<int, std::size_t> on_node;              // ranks
  std::map<int, std::map<int, std::size_t>> have;  // by domain and node
  for (std::size_t r = 0; r < nodes.size(); ++r) ++on_node[nodes[r]], ++have[domains[r]][nodes[r]];
  std::size_t cut = 0;
  const std::map<int, std::size_t>* first = nullptr;
  for (const auto& [domain, ranks] : have) {
    const bool has_part =
        std::ranges::any_of(ranks, [&](const auto& part) { return part.second < on_node[part.first]; });
    if (ranks.size() == 1 || !has_part) continue;
    ++cut;
    if (!first) first = &ranks;
  }
  if (!first) return "";
  std::string parts;
  for (const auto& [node, ranks] : *first)
    parts += fmt::format("{}{} of {}", parts.empty() ? "" : " and ", ranks, on_node[node]);
  return fmt::format(
      "parallel.expert_domain: {} cuts nodes: {} of {} domains have a part of a node and ranks of other nodes (the "
      "first has {} ranks of {} nodes), so rows travel between nodes that could stay; set it to node, or to a number "
      "of "
      "ranks that whole nodes have",
      expert_domain, cut, have.size(), parts, first->size());
}

Ranks arrange_ranks(const Comm& world, const ParallelSettings& settings) {
  Comm machine = world.split_by_node();
  const std::vector<int> nodes = nodes_of_ranks(machines_of_world(world, machine), settings.ranks_per_node);
  const int node = nodes[static_cast<std::size_t>(world.rank())];
  Ranks ranks{world,   world,
              1,       world.split(settings.node_memory == "off" ? world.rank() : node, world.rank()),
              {},      hosts_of_world(world),
              nodes,   1 + *std::max_element(nodes.begin(), nodes.end()),
              machine, arrange_cores(world, machine, settings)};
  spread_experts(ranks, settings.expert_domain == "auto" ? "world" : settings.expert_domain);
  return ranks;
}

void spread_experts(Ranks& ranks, const std::string& expert_domain) {
  const Comm& world = ranks.world;
  const auto rank = static_cast<std::size_t>(world.rank());
  std::vector<int> domains;
  run_on_all_ranks(world, [&] { domains = domains_of_ranks(expert_domain, ranks.node_of_rank); });
  if (world.rank() == 0)
    if (const std::string warning = cut_nodes_warning(expert_domain, ranks.node_of_rank, domains); !warning.empty())
      log::warning("{}", warning);
  ranks.domain = world.split(domains[rank], world.rank());
  ranks.domains = 1 + *std::max_element(domains.begin(), domains.end());
  ranks.node_of_domain_rank = gather(ranks.domain, ranks.node_of_rank[rank]);
}

}  // namespace moemill::mill
