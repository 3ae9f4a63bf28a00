// How the ranks of a node share the routed experts' work of a layer: one rule that all of them compute alike from the
// same numbers, so that nobody asks anybody. Experts are taken in the order of their slots, so that a rank mostly gets
// its own; a hot one is cut by rows. No bit of an answer depends on it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/product_cost.hpp"

namespace moemill::layers {

// What an expert's product costs, as the product's own split over threads takes it.
inline constexpr std::uint32_t least_piece_rows = least_product_rows;
constexpr std::uint64_t expert_cost(std::uint64_t rows) {
  return rows == 0 || rows >= least_piece_rows ? rows : least_piece_rows;
}

// A place in the list of all pairs by slot: behind `rows` pairs of the slot.
struct Cut {
  std::uint32_t slot = 0;
  std::uint32_t rows = 0;
  friend bool operator==(const Cut&, const Cut&) = default;
};

// Cuts the pairs of rows_of_slot [slots] for so many ranks: rank r computes those from cuts[r] to cuts[r + 1]. A cut
// leaves at least least_piece_rows on both sides. Among the ways to do this in order, the busiest rank's cost is the
// least.
void split_node_work(std::span<const std::uint32_t> rows_of_slot, std::uint32_t ranks, std::vector<Cut>& cuts);

// The cost of the pairs between two cuts.
std::uint64_t cost_between(std::span<const std::uint32_t> rows_of_slot, Cut first, Cut last);

// Calls piece(slot, first_row, rows) for every slot with pairs between two cuts.
template <class Piece>
void for_each_piece_between(std::span<const std::uint32_t> rows_of_slot, Cut first, Cut last, const Piece& piece) {
  for (std::uint32_t slot = first.slot; slot < rows_of_slot.size() && slot <= last.slot; ++slot) {
    const std::uint32_t from = slot == first.slot ? first.rows : 0;
    const std::uint32_t to = slot == last.slot ? last.rows : rows_of_slot[slot];
    if (from < to) piece(slot, from, to - from);
  }
}

}  // namespace moemill::layers
