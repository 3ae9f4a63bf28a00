#include "layers/dispatch/node_share.hpp"

#include <algorithm>
#include <numeric>

namespace moemill::layers {

void NodeShare::take(std::span<const PairList> lists, std::span<const std::uint32_t> owner_of_slot, std::uint32_t ranks,
                     std::uint32_t place) {
  const auto slots = static_cast<std::uint32_t>(owner_of_slot.size());
  rows_of_slot_.assign(slots, 0);
  for (const PairList& list : lists)
    for (std::uint32_t slot = 0; slot < slots; ++slot) rows_of_slot_[slot] += list.rows_of(slot);
  split_node_work(rows_of_slot_, ranks, cuts_);
  owner_cost_.assign(ranks, 0);
  for (std::uint32_t slot = 0; slot < slots; ++slot)
    owner_cost_[owner_of_slot[slot]] += expert_cost(rows_of_slot_[slot]);
  busiest_ = 0;
  for (std::uint32_t r = 0; r < ranks; ++r)
    busiest_ = std::max(busiest_, cost_between(rows_of_slot_, cuts_[r], cuts_[r + 1]));
  const Cut first = cuts_[place], last = cuts_[place + 1];
  cost_ = cost_between(rows_of_slot_, first, last);

  begin_.assign(slots + 1, 0);
  for_each_piece_between(rows_of_slot_, first, last,
                         [&](std::uint32_t slot, std::uint32_t, std::uint32_t rows) { begin_[slot + 1] = rows; });
  std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
  row_.reserve(begin_.back()), output_.reserve(begin_.back());
  for_each_piece_between(rows_of_slot_, first, last, [&](std::uint32_t slot, std::uint32_t from, std::uint32_t rows) {
    copy_piece(lists, slot, from, rows, begin_[slot]);
  });
}

// A slot's pairs are those of the first list, then those of the second one, and so on.
void NodeShare::copy_piece(std::span<const PairList> lists, std::uint32_t slot, std::uint32_t first,
                           std::uint32_t count, std::uint32_t to) {
  for (const PairList& list : lists) {
    const std::uint32_t there = list.rows_of(slot);
    if (first >= there) {
      first -= there;
      continue;
    }
    const std::uint32_t now = std::min(count, there - first), from = list.begin[slot] + first;
    std::copy_n(list.row + from, now, row_.data() + to);
    std::copy_n(list.output + from, now, output_.data() + to);
    to += now, count -= now, first = 0;
    if (count == 0) return;
  }
}

void NodeShare::add_costs(ExchangeTotals& totals) const {
  totals.work += cost_;
  totals.busiest_work += busiest_;
  totals.busiest_owner_work += *std::max_element(owner_cost_.begin(), owner_cost_.end());
}

}  // namespace moemill::layers
