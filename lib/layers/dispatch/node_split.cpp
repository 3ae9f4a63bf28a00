#include "layers/dispatch/node_split.hpp"

#include <algorithm>

#include "base/numbers/rounding.hpp"

namespace moemill::layers {

namespace {

// The next cut, if a rank takes what it can of the pairs behind `from` for at most `most` cost.
Cut fill_rank(std::span<const std::uint32_t> rows_of_slot, Cut from, std::uint64_t most) {
  std::uint64_t room = most;
  for (; from.slot < rows_of_slot.size(); ++from.slot, from.rows = 0) {
    const std::uint32_t left = rows_of_slot[from.slot] - from.rows;
    if (expert_cost(left) <= room) {
      room -= expert_cost(left);
      continue;
    }
    if (room < least_piece_rows || left < 2 * least_piece_rows) return from;
    return {from.slot, from.rows + static_cast<std::uint32_t>(std::min<std::uint64_t>(room, left - least_piece_rows))};
  }
  return from;
}

bool is_enough(std::span<const std::uint32_t> rows_of_slot, std::uint32_t ranks, std::uint64_t most) {
  Cut at;
  for (std::uint32_t r = 0; r < ranks && at.slot < rows_of_slot.size(); ++r) at = fill_rank(rows_of_slot, at, most);
  return at.slot == rows_of_slot.size();
}

}  // namespace

std::uint64_t cost_between(std::span<const std::uint32_t> rows_of_slot, Cut first, Cut last) {
  std::uint64_t cost = 0;
  for_each_piece_between(rows_of_slot, first, last,
                         [&](std::uint32_t, std::uint32_t, std::uint32_t rows) { cost += expert_cost(rows); });
  return cost;
}

// A rank that is filled up to `most` leaves less than two pieces of it unused, so a search over that many costs above
// the mean finds the least one that is enough.
void split_node_work(std::span<const std::uint32_t> rows_of_slot, std::uint32_t ranks, std::vector<Cut>& cuts) {
  std::uint64_t all = 0;
  for (const std::uint32_t rows : rows_of_slot) all += expert_cost(rows);
  std::uint64_t low = divide_up(all, std::uint64_t{ranks}), high = low + 2 * least_piece_rows;
  while (low < high) {
    const std::uint64_t middle = (low + high) / 2;
    if (is_enough(rows_of_slot, ranks, middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  cuts.assign(1, Cut{});
  for (std::uint32_t r = 0; r < ranks; ++r) cuts.push_back(fill_rank(rows_of_slot, cuts.back(), low));
}

}  // namespace moemill::layers
