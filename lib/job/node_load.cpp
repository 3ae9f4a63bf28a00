#include "job/node_load.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "model/placement.hpp"

namespace moemill::mill {
namespace {

// picks: [layers, nodes]; layers without any do not count.
double busiest_over_mean(std::span<const std::uint64_t> picks, const layers::DomainNodes& nodes) {
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

// counts: [layers with experts, experts]. Returns [layers with experts, nodes].
std::vector<std::uint64_t> in_slices(std::span<const std::uint64_t> counts, std::uint32_t experts,
                                     const layers::DomainNodes& nodes) {
  const model::LayerPlacement slices = model::contiguous_slices(experts, nodes.ranks());
  std::vector<std::uint64_t> picks(experts > 0 ? counts.size() / experts * nodes.nodes() : 0);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const model::Holder holder = slices.holders({static_cast<std::int32_t>(i % experts)}).front();
    picks[i / experts * nodes.nodes() + nodes.node_of(holder.rank.value)] += counts[i];
  }
  return picks;
}

}  // namespace

NodeLoad node_load(const Ranks& ranks, const Engine& engine, const model::ModelConfig& model) {
  const std::vector<std::uint64_t> counts = sum_counts(ranks.domain, engine.backend().expert_counts());
  const std::vector<std::uint64_t> picks = sum_counts(ranks.domain, engine.backend().node_picks());
  struct OfDomain {
    double in_slices, as_placed, weight;
  };
  const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
  OfDomain mine{busiest_over_mean(in_slices(counts, model.moe.experts, engine.nodes()), engine.nodes()),
                busiest_over_mean(picks, engine.nodes()), all / ranks.domain.size()};
  NodeLoad sum{0, 0};
  double weights = 0;
  for (const OfDomain& rank : gather(ranks.world, mine)) {
    sum.in_slices += rank.in_slices * rank.weight, sum.as_placed += rank.as_placed * rank.weight;
    weights += rank.weight;
  }
  if (weights == 0) return {};
  return {sum.in_slices / weights, sum.as_placed / weights};
}

}  // namespace moemill::mill
