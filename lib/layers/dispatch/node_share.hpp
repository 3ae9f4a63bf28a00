// This rank's share of the pairs that a node computes in a layer: which of the lists that the node's ranks have
// published, and what all shares cost. Every rank of the node computes all shares alike and keeps its own. Used by a
// backend's exchange.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "layers/dispatch/exchange_totals.hpp"
#include "layers/dispatch/node_split.hpp"
#include "layers/dispatch/pair_list.hpp"

namespace moemill::layers {

class NodeShare {
 public:
  // lists: of all ranks of the node, in the same order on each. owner_of_slot: [slots] the place of the rank that holds
  // each expert.
  void take(std::span<const PairList> lists, std::span<const std::uint32_t> owner_of_slot, std::uint32_t ranks,
            std::uint32_t place);

  Vector<const std::uint32_t> slot_begin() const { return {begin_.data(), begin_.size()}; }  // [slots + 1]
  Vector<const std::uint32_t> rows() const { return {row_.data(), begin_.back()}; }          // [pairs]
  Vector<const std::uint32_t> outputs() const { return {output_.data(), begin_.back()}; }    // [pairs]
  std::uint64_t bytes() const { return row_.capacity_bytes() + output_.capacity_bytes(); }
  // Adds the costs of the last share, of the busiest one, and of the busiest owner.
  void add_costs(ExchangeTotals& totals) const;

 private:
  void copy_piece(std::span<const PairList> lists, std::uint32_t slot, std::uint32_t first, std::uint32_t count,
                  std::uint32_t to);

  std::vector<std::uint32_t> rows_of_slot_;
  std::vector<Cut> cuts_;
  std::vector<std::uint32_t> begin_{0};
  Buffer<std::uint32_t> row_, output_;
  std::vector<std::uint64_t> owner_cost_;  // [ranks] if each computed its own experts
  std::uint64_t cost_ = 0, busiest_ = 0;
};

}  // namespace moemill::layers
