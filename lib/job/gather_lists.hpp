// Lists of all ranks as one. Private to job/.
#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "system/comm/comm.hpp"

namespace moemill::mill {

// The values of all ranks, in the order of the ranks; collective. Each rank that has any sends them to all others.
template <class T>
std::vector<T> gather_lists(const Comm& world, const std::vector<T>& mine) {
  static_assert(std::is_trivially_copyable_v<T>, "values travel as their bytes");
  const auto counts = gather(world, mine.size());
  std::vector<T> all;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    if (counts[r] == 0) continue;
    const std::vector<std::byte> bytes = world.broadcast(std::as_bytes(std::span(mine)), static_cast<int>(r));
    const std::size_t before = all.size();
    all.resize(before + counts[r]);
    std::memcpy(all.data() + before, bytes.data(), bytes.size());
  }
  return all;
}

}  // namespace moemill::mill
