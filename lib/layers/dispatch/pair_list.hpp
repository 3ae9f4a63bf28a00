// A list of pairs (row, expert) of a layer, sorted by the expert's slot, in memory that somebody else owns: a rank
// publishes the list of its rows in the node's memory, and all ranks of the node read it. A row is named by its place
// in the node's memory, and so is the output that answers the pair.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>

#include "base/error.hpp"

namespace moemill::layers {

struct PairList {
  std::uint32_t* begin = nullptr;   // [slots + 1]
  std::uint32_t* row = nullptr;     // [pairs]
  std::uint32_t* output = nullptr;  // [pairs]

  // for_each_pair(visit) calls visit(row, slot, output) for every pair; it is called twice. Within a slot the pairs
  // keep its order.
  template <class ForEachPair>
  void fill(std::uint32_t slots, const ForEachPair& for_each_pair) const {
    const std::span first(begin, slots + 1);
    std::fill(first.begin(), first.end(), 0);
    for_each_pair([&](std::uint32_t, std::uint32_t slot, std::uint32_t) {
      expect(slot < slots, "exchange: a row asks for an expert of this node");
      ++first[slot];
    });
    std::exclusive_scan(first.begin(), first.end(), first.begin(), 0u);
    for_each_pair([&](std::uint32_t of_row, std::uint32_t slot, std::uint32_t of_output) {
      const std::uint32_t at = first[slot]++;
      row[at] = of_row, output[at] = of_output;
    });
    // Filling moved every begin to its end, which is the next one's begin.
    std::copy_backward(first.begin(), first.end() - 1, first.end());
    first.front() = 0;
  }

  std::uint32_t rows_of(std::uint32_t slot) const { return begin[slot + 1] - begin[slot]; }
};

}  // namespace moemill::layers
