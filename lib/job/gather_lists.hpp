// Lists of all ranks as one. Private to job/.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "system/comm/comm.hpp"

namespace moemill::mill {

// The values of all ranks, in the order of the ranks; collective. They travel some at a time, because one rank may have
// many.
template <class T>
std::vector<T> gather_lists(const Comm& world, const std::vector<T>& mine) {
  constexpr std::size_t at_a_time = 64;
  using Block = std::array<T, at_a_time>;
  const auto counts = gather(world, mine.size());
  const std::size_t most = *std::max_element(counts.begin(), counts.end());
  std::vector<std::vector<T>> by_rank(counts.size());
  for (std::size_t first = 0; first < most; first += at_a_time) {
    Block block{};
    for (std::size_t i = 0; i < at_a_time && first + i < mine.size(); ++i) block[i] = mine[first + i];
    const std::vector<Block> blocks = gather(world, block);
    for (std::size_t r = 0; r < counts.size(); ++r)
      for (std::size_t i = 0; i < at_a_time && first + i < counts[r]; ++i) by_rank[r].push_back(blocks[r][i]);
  }
  std::vector<T> all;
  for (const auto& values : by_rank) all.insert(all.end(), values.begin(), values.end());
  return all;
}

}  // namespace moemill::mill
