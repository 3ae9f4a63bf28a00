// The table of which ranks of an expert domain hold which routed experts, layer by layer. The engine makes one for its
// domain, `validate` makes one for each domain of a job; weights, exchange and memory plan all use it. No byte of an
// answer depends on it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "model/config.hpp"

namespace moemill::model {

// Where one copy of an expert's weights is.
struct Holder {
  DomainRank rank;
  LocalExpert slot;  // among the experts of that rank
  friend bool operator==(const Holder&, const Holder&) = default;
};

// The table of one layer. Every expert has a holder; it may have several, but no rank holds it twice.
class LayerPlacement {
 public:
  // `slots` [ranks] has the experts of each rank, by slot. `shares`, of the same shape, says which part of its expert's
  // picks each copy is to compute: those of an expert add up to 1. Without them its copies have equal parts.
  LayerPlacement(std::uint32_t experts, std::span<const std::vector<GlobalExpert>> slots,
                 std::span<const std::vector<double>> shares = {});

  std::uint32_t ranks() const { return static_cast<std::uint32_t>(slots_begin_.size() - 1); }
  std::uint32_t experts() const { return static_cast<std::uint32_t>(holders_begin_.size() - 1); }
  // The experts of a rank, by slot.
  std::span<const GlobalExpert> slots(DomainRank rank) const;
  // The holders of an expert, by rank.
  std::span<const Holder> holders(GlobalExpert expert) const;
  // The part of the expert's picks that each of them is to compute.
  std::span<const double> shares(GlobalExpert expert) const;

 private:
  std::vector<GlobalExpert> slots_;           // of rank 0, then of rank 1, ...
  std::vector<std::uint32_t> slots_begin_;    // [ranks + 1]
  std::vector<Holder> holders_;               // of expert 0, then of expert 1, ...
  std::vector<double> shares_;                // of each holder
  std::vector<std::uint32_t> holders_begin_;  // [experts + 1]
};

class Placement {
 public:
  // `layers` [layers of the model]; a dense layer has a table without experts.
  explicit Placement(std::vector<LayerPlacement> layers);

  std::uint32_t ranks() const { return layers_.front().ranks(); }
  std::uint32_t layers() const { return static_cast<std::uint32_t>(layers_.size()); }
  const LayerPlacement& layer(LayerId layer) const { return layers_[static_cast<std::size_t>(layer.value)]; }

 private:
  std::vector<LayerPlacement> layers_;
};

// Contiguous balanced slices: rank r of R holds experts [r*E/R, (r+1)*E/R) (integer division), so counts differ by at
// most one, and ranks beyond the experts hold none.
LayerPlacement contiguous_slices(std::uint32_t experts, std::uint32_t ranks);
// The same slices in every layer of the model that has routed experts.
Placement contiguous_slices(const ModelConfig& config, std::uint32_t ranks);

}  // namespace moemill::model
