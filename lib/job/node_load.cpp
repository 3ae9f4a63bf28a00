#include "job/node_load.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/log.hpp"
#include "layers/dispatch/place_experts.hpp"
#include "model/placement.hpp"

namespace moemill::mill {
namespace {

// picks: [layers, nodes]; layers without any do not count.
double busiest_node(std::span<const std::uint64_t> picks, const layers::DomainNodes& nodes) {
  double sum = 0;
  std::size_t layers = 0;
  for (std::size_t at = 0; at + nodes.nodes() <= picks.size(); at += nodes.nodes()) {
    double all = 0, most = 0;
    for (std::uint32_t n = 0; n < nodes.nodes(); ++n) {
      const auto mine = static_cast<double>(picks[at + n]);
      all += mine, most = std::max(most, mine / static_cast<double>(nodes.ranks_of(n).size()));
    }
    if (all > 0) sum += most * nodes.ranks() / all, ++layers;
  }
  return layers > 0 ? sum / static_cast<double>(layers) : 1;
}

}  // namespace

NodeLoad node_load(const Ranks& ranks, const Engine& engine, const model::ModelConfig& model) {
  const std::vector<std::uint64_t> counts = sum_counts(ranks.domain, engine.backend().expert_counts());
  const std::vector<std::uint64_t> picks = sum_counts(ranks.domain, engine.backend().node_picks());
  const auto slices = model::contiguous_slices(model, engine.nodes().ranks());
  struct OfDomain {
    double in_slices, as_placed, weight;
  };
  const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
  OfDomain mine{layers::busiest_over_mean(slices, engine.nodes(), counts), busiest_node(picks, engine.nodes()),
                all / ranks.domain.size()};
  NodeLoad sum{0, 0};
  double weights = 0;
  for (const OfDomain& rank : gather(ranks.world, mine)) {
    sum.in_slices += rank.in_slices * rank.weight, sum.as_placed += rank.as_placed * rank.weight;
    weights += rank.weight;
  }
  if (weights == 0) return {};
  return {sum.in_slices / weights, sum.as_placed / weights};
}

void log_node_load(const ExpertLoad& load, const ParallelSettings& parallel, std::uint32_t nodes) {
  if (nodes == 1 || load.tokens == 0 || (parallel.redundant_experts == 0 && parallel.rebalance_policy == "none"))
    return;
  log::info(
      "the busiest of {} nodes computed {:.3f} times the mean of the picks; it would have been {:.3f} times if experts "
      "lay in slices",
      nodes, load.nodes, load.nodes_in_slices);
}

}  // namespace moemill::mill
