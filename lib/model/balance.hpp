// Which experts of a layer each holder has, and who computes which part of the picks of those with several copies, so
// that all holders have about as much to do. A holder is whatever shares the work of its experts: a node, or a rank.
// The algorithm is that of DeepSeek's EPLB (github.com/deepseek-ai/EPLB, eplb.py: rebalance_experts), which asks for
// numbers that divide each other and may put two copies of an expert on one holder; this one does neither. Pure, and
// the same on every rank. Used by layers/dispatch/place_experts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"

namespace moemill::model {

struct BalanceQuestion {
  std::span<const double> loads;         // [experts] not negative
  std::uint32_t redundant = 0;           // copies besides one of each expert; at most experts x (holders - 1)
  std::span<const std::uint32_t> sizes;  // [holders] how much each can do: the ranks of a node
  // Clusters of holders that follow each other. With more than one, groups of experts that follow each other are packed
  // onto clusters as a whole, and copies stay in their cluster as long as it can use them (EPLB's hierarchical policy,
  // whose nodes these are). It takes groups and holders that divide over the clusters, and equal sizes.
  std::uint32_t groups = 1, clusters = 1;
};

using HolderSlots = std::vector<std::vector<GlobalExpert>>;  // [holders] the experts of each, in no order
using HolderShares = std::vector<std::vector<double>>;       // [holders] the part of each slot in its expert's picks

// [holders] how many experts each has, whatever the loads are: in proportion to their sizes, but at most all.
std::vector<std::uint32_t> slots_of_holders(std::uint32_t experts, std::uint32_t redundant,
                                            std::span<const std::uint32_t> sizes);
// Every expert has a holder, no holder has it twice. Ties go to the lowest expert and the lowest holder.
HolderSlots balance(const BalanceQuestion& question);

// Divides the picks of experts with several copies so that the holders' loads, for their sizes, are as level as these
// slots allow.
HolderShares level_shares(std::span<const double> loads, const HolderSlots& slots,
                          std::span<const std::uint32_t> sizes);
// The load of the busiest holder for its size over that of all; 1 without any load.
double max_over_mean(std::span<const double> loads, const HolderSlots& slots, const HolderShares& shares,
                     std::span<const std::uint32_t> sizes);

}  // namespace moemill::model
