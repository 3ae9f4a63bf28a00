#include "layers/dispatch/place_experts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "model/balance.hpp"

namespace moemill::layers {
namespace {

// Where a row's picks lie in few groups, it goes to fewer nodes if these hold whole groups, and fewer sums come home.
// So that is preferred to a level table unless it costs more than this.
constexpr double level_enough = 1.05;

struct Table {
  model::HolderSlots slots;  // [nodes]
  model::HolderShares shares = {};
  double busiest = 1;  // node, over the mean
};

Table levelled(const model::BalanceQuestion& question, model::HolderSlots slots) {
  Table table{std::move(slots)};
  table.shares = model::level_shares(question.loads, table.slots, question.sizes);
  table.busiest = model::max_over_mean(question.loads, table.slots, table.shares, question.sizes);
  return table;
}

model::HolderSlots slices(std::uint32_t experts, std::span<const std::uint32_t> sizes) {
  model::HolderSlots slots;
  std::int32_t next = 0;
  for (const std::uint32_t count : model::slots_of_holders(experts, 0, sizes)) {
    std::vector<GlobalExpert>& node = slots.emplace_back();
    for (std::uint32_t s = 0; s < count; ++s) node.push_back({next++});
  }
  return slots;
}

Table best_table(const model::Moe& moe, model::BalanceQuestion question) {
  const std::span<const std::uint32_t> sizes = question.sizes;
  std::vector<Table> tables;
  if (question.redundant == 0) tables.push_back(levelled(question, slices(moe.experts, sizes)));
  const bool alike = std::all_of(sizes.begin(), sizes.end(), [&](std::uint32_t size) { return size == sizes.front(); });
  if (moe.groups_kept < moe.groups && alike && moe.groups % sizes.size() == 0) {
    model::BalanceQuestion by_groups = question;
    by_groups.groups = moe.groups, by_groups.clusters = static_cast<std::uint32_t>(sizes.size());
    tables.push_back(levelled(by_groups, model::balance(by_groups)));
  }
  tables.push_back(levelled(question, model::balance(question)));
  const auto is_level = [](const Table& table) { return table.busiest <= level_enough; };
  const auto found = std::find_if(tables.begin(), tables.end(), is_level);
  if (found != tables.end()) return *found;
  return *std::min_element(tables.begin(), tables.end(),
                           [](const Table& a, const Table& b) { return a.busiest < b.busiest; });
}

// Deals the experts of each node to its ranks in their order, as the node's work is split.
model::LayerPlacement over_ranks(std::uint32_t experts, const DomainNodes& nodes, const Table& table) {
  std::vector<std::vector<GlobalExpert>> slots(nodes.ranks());
  std::vector<std::vector<double>> shares(nodes.ranks());
  for (std::uint32_t n = 0; n < nodes.nodes(); ++n) {
    std::vector<std::pair<GlobalExpert, double>> node;
    for (std::size_t s = 0; s < table.slots[n].size(); ++s) node.emplace_back(table.slots[n][s], table.shares[n][s]);
    std::sort(node.begin(), node.end());
    const std::span<const int> ranks = nodes.ranks_of(n);
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      const auto rank = static_cast<std::size_t>(ranks[r]);
      for (std::size_t s = r * node.size() / ranks.size(); s < (r + 1) * node.size() / ranks.size(); ++s)
        slots[rank].push_back(node[s].first), shares[rank].push_back(node[s].second);
    }
  }
  return {experts, slots, shares};
}

}  // namespace

model::LayerPlacement place_layer(const model::Moe& moe, const DomainNodes& nodes, std::uint32_t redundant,
                                  std::span<const std::uint64_t> loads) {
  check_redundant(moe, nodes.nodes(), redundant);
  if (nodes.nodes() == 1 || moe.experts == 0 || (redundant == 0 && loads.empty()))
    return model::contiguous_slices(moe.experts, nodes.ranks());
  std::vector<double> weights(loads.begin(), loads.end());
  if (std::all_of(weights.begin(), weights.end(), [](double load) { return load == 0; }))
    weights.assign(moe.experts, 1);
  std::vector<std::uint32_t> sizes;
  for (std::uint32_t n = 0; n < nodes.nodes(); ++n)
    sizes.push_back(static_cast<std::uint32_t>(nodes.ranks_of(n).size()));
  return over_ranks(moe.experts, nodes, best_table(moe, {weights, redundant, sizes}));
}

model::Placement place_experts(const model::ModelConfig& config, const DomainNodes& nodes, std::uint32_t redundant,
                               std::span<const std::uint64_t> loads) {
  const std::uint32_t experts = config.moe.experts;
  const model::LayerPlacement dense = model::contiguous_slices(0, nodes.ranks());
  const model::LayerPlacement alike = place_layer(config.moe, nodes, redundant);
  std::vector<model::LayerPlacement> layers;
  for (std::uint32_t l = 0; l < config.layers; ++l) {
    const bool measured = config.layer_is_moe[l] && !loads.empty();
    layers.push_back(measured                 ? place_layer(config.moe, nodes, redundant, loads.first(experts))
                     : config.layer_is_moe[l] ? alike
                                              : dense);
    if (measured) loads = loads.subspan(experts);
  }
  return model::Placement(std::move(layers));
}

double busiest_over_mean(const model::Placement& placement, const DomainNodes& nodes,
                         std::span<const std::uint64_t> loads) {
  double sum = 0;
  std::uint32_t layers = 0;
  for (std::uint32_t l = 0; l < placement.layers() && !loads.empty(); ++l) {
    const model::LayerPlacement& layer = placement.layer({static_cast<std::int32_t>(l)});
    std::vector<double> work(nodes.nodes());
    double all = 0, most = 0;
    for (std::uint32_t e = 0; e < layer.experts(); ++e) {
      const GlobalExpert expert{static_cast<std::int32_t>(e)};
      for (std::size_t h = 0; h < layer.holders(expert).size(); ++h)
        work[nodes.node_of(layer.holders(expert)[h].rank.value)] +=
            layer.shares(expert)[h] * static_cast<double>(loads[e]);
      all += static_cast<double>(loads[e]);
    }
    loads = loads.subspan(layer.experts());
    if (all == 0) continue;
    for (std::uint32_t n = 0; n < nodes.nodes(); ++n)
      most = std::max(most, work[n] / static_cast<double>(nodes.ranks_of(n).size()));
    sum += most * nodes.ranks() / all, ++layers;
  }
  return layers > 0 ? sum / layers : 1;
}

std::uint64_t most_redundant(const model::Moe& moe, std::uint32_t nodes) {
  return std::uint64_t{moe.experts} * (nodes - 1);
}

void check_redundant(const model::Moe& moe, std::uint32_t nodes, std::uint32_t redundant) {
  const std::uint64_t most = most_redundant(moe, nodes);
  if (nodes == 1 || moe.experts == 0 || redundant <= most) return;
  user_error(
      "parallel.redundant_experts: {} are more than the {} nodes of an expert domain can take apart: each of the {} "
      "experts of a layer is on one of them, and a copy on each of the others makes {} at most; lower it, or let a "
      "domain have more nodes (parallel.expert_domain)",
      redundant, nodes, moe.experts, most);
}

std::string redundant_warning(std::uint32_t nodes, std::uint32_t redundant) {
  if (nodes > 1 || redundant == 0) return "";
  return fmt::format(
      "parallel.redundant_experts: {} has no effect: an expert domain is one node, whose ranks share all of its work",
      redundant);
}

}  // namespace moemill::layers
