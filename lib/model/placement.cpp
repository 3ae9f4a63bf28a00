#include "model/placement.hpp"

#include <algorithm>
#include <numeric>

#include "base/error.hpp"

namespace moemill::model {

LayerPlacement::LayerPlacement(std::uint32_t experts, std::span<const std::vector<GlobalExpert>> slots,
                               std::span<const std::vector<double>> shares)
    : slots_begin_{0}, holders_begin_(experts + 1, 0) {
  for (const auto& of_rank : slots) {
    slots_.insert(slots_.end(), of_rank.begin(), of_rank.end());
    slots_begin_.push_back(static_cast<std::uint32_t>(slots_.size()));
  }
  for (GlobalExpert e : slots_) {
    expect(e.value >= 0 && static_cast<std::uint32_t>(e.value) < experts, "placement: slots hold experts of the model");
    ++holders_begin_[static_cast<std::size_t>(e.value) + 1];
  }
  expect(std::find(holders_begin_.begin() + 1, holders_begin_.end(), 0u) == holders_begin_.end(),
         "placement: every expert has a holder");
  std::partial_sum(holders_begin_.begin(), holders_begin_.end(), holders_begin_.begin());
  holders_.resize(slots_.size()), shares_.resize(slots_.size());
  std::vector<std::uint32_t> next(holders_begin_.begin(), holders_begin_.end() - 1);
  for (std::size_t r = 0; r < slots.size(); ++r) {
    for (std::size_t s = 0; s < slots[r].size(); ++s) {
      const auto expert = static_cast<std::size_t>(slots[r][s].value);
      const Holder holder{{static_cast<std::int32_t>(r)}, {static_cast<std::int32_t>(s)}};
      const std::uint32_t at = next[expert]++;
      expect(at == holders_begin_[expert] || holders_[at - 1].rank != holder.rank,
             "placement: no rank holds an expert twice");
      holders_[at] = holder;
      shares_[at] = shares.empty() ? 1.0 / (holders_begin_[expert + 1] - holders_begin_[expert]) : shares[r][s];
    }
  }
}

std::span<const GlobalExpert> LayerPlacement::slots(DomainRank rank) const {
  const auto r = static_cast<std::size_t>(rank.value);
  return std::span(slots_).subspan(slots_begin_[r], slots_begin_[r + 1] - slots_begin_[r]);
}

std::span<const Holder> LayerPlacement::holders(GlobalExpert expert) const {
  const auto e = static_cast<std::size_t>(expert.value);
  return std::span(holders_).subspan(holders_begin_[e], holders_begin_[e + 1] - holders_begin_[e]);
}

std::span<const double> LayerPlacement::shares(GlobalExpert expert) const {
  const auto e = static_cast<std::size_t>(expert.value);
  return std::span(shares_).subspan(holders_begin_[e], holders_begin_[e + 1] - holders_begin_[e]);
}

Placement::Placement(std::vector<LayerPlacement> layers) : layers_(std::move(layers)) {
  expect(!layers_.empty(), "placement: a model has layers");
  for (const LayerPlacement& layer : layers_) {
    expect(layer.ranks() == ranks(), "placement: all layers lie on the same ranks");
  }
}

LayerPlacement contiguous_slices(std::uint32_t experts, std::uint32_t ranks) {
  std::vector<std::vector<GlobalExpert>> slots(ranks);
  std::int32_t next = 0;
  for (std::uint64_t r = 0; r < ranks; ++r) {
    const auto end = static_cast<std::int32_t>((r + 1) * experts / ranks);
    while (next < end) slots[r].push_back({next++});
  }
  return {experts, slots};
}

Placement contiguous_slices(const ModelConfig& config, std::uint32_t ranks) {
  const LayerPlacement routed = contiguous_slices(config.moe.experts, ranks), dense = contiguous_slices(0, ranks);
  std::vector<LayerPlacement> layers;
  for (std::uint32_t l = 0; l < config.layers; ++l) layers.push_back(config.layer_is_moe[l] ? routed : dense);
  return Placement(std::move(layers));
}

}  // namespace moemill::model
