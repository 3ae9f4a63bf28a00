#include "layers/dispatch/exchange_plan.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/numbers/bf16.hpp"

namespace moemill::layers {

namespace {

constexpr std::uint32_t no_row = ~0u;

// Steps of a turn, in 2^-32: multiples of the golden ratio, whose fractional parts fill [0, 1) most evenly, and of
// square roots, so that neither ranks nor experts begin alike.
constexpr std::uint32_t golden_step = 0x9E3779B9, rank_step = 0x6A09E667, expert_step = 0xBB67AE85;

}  // namespace

ExchangePlan::ExchangePlan(const ExchangeShape& shape, std::uint32_t nodes, std::uint32_t home,
                           std::span<const int> machine_of_node)
    : picks_per_row_(shape.picks),
      experts_per_group_(shape.sum_groups > 0 ? shape.experts / shape.sum_groups : 0),
      home_(home),
      record_bytes_(RecordForm(shape.hidden, shape.picks, shape.sum()).bytes()),
      output_bytes_(shape.hidden * sizeof(bf16)),
      machine_of_node_(machine_of_node.begin(), machine_of_node.end()),
      picks_of_(nodes),
      rows_to_(nodes),
      outputs_of_(nodes),
      first_output_(nodes),
      turns_(shape.experts),
      last_row_(nodes),
      record_(nodes),
      next_(nodes),
      last_row_of_machine_(
          1 + static_cast<std::size_t>(*std::max_element(machine_of_node.begin(), machine_of_node.end()))) {}

void ExchangePlan::make(std::span<const GlobalExpert> picks, const PickPlaces& places, std::uint32_t rank) {
  picks_ = picks, rows_ = picks.size() / picks_per_row_;
  std::fill(picks_of_.begin(), picks_of_.end(), 0);
  std::fill(rows_to_.begin(), rows_to_.end(), 0);
  std::fill(outputs_of_.begin(), outputs_of_.end(), 0);
  std::fill(last_row_.begin(), last_row_.end(), no_row);
  std::fill(last_row_of_machine_.begin(), last_row_of_machine_.end(), no_row);
  choose_places(places, rank);
  if (by_groups()) order_by_groups();
  const int here = machine_of_node_[home_];
  for (std::size_t i = 0; i < picks.size(); ++i) {
    const auto row = static_cast<std::uint32_t>(i / picks_per_row_);
    const std::uint32_t node = place_of(i).node;
    const int machine = machine_of_node_[node];
    ++picks_of_[node];
    if (!joins(i)) ++outputs_of_[node];
    if (std::exchange(last_row_[node], row) != row && node != home_) ++rows_to_[node];
    const bool is_first = std::exchange(last_row_of_machine_[static_cast<std::size_t>(machine)], row) != row;
    totals_.row_nodes += is_first ? 1 : 0;
    if (machine == here) continue;
    totals_.inter_node_minimum += is_first ? record_bytes_ : 0;
    if (!by_groups()) totals_.inter_node_minimum += output_bytes_;
  }
  const auto sent = std::accumulate(rows_to_.begin(), rows_to_.end(), std::uint64_t{0});
  totals_.rows += rows_;
  totals_.rows_sent += sent;
  totals_.rows_deduplicated += picks.size() - outputs_of_[home_] - sent;
  number_outputs();
}

void ExchangePlan::choose_places(const PickPlaces& places, std::uint32_t rank) {
  SlotPlace* const chosen = place_.reserve(picks_.size());
  std::fill(turns_.begin(), turns_.end(), 0);
  for (std::size_t i = 0; i < picks_.size(); ++i) {
    const auto expert = static_cast<std::uint32_t>(picks_[i].value);
    std::uint32_t at = places.begin[expert];
    if (places.begin[expert + 1] - at > 1) {
      const std::uint32_t turn = rank * rank_step + expert * expert_step + turns_[expert]++ * golden_step;
      while (turn > places.until[at]) ++at;
    }
    chosen[i] = places.place[at];
  }
}

// Puts each row's picks into the order of their groups, those of a group as they were, and links them.
void ExchangePlan::order_by_groups() {
  order_.reserve(picks_.size()), link_.reserve(picks_.size());
  for (std::size_t first = 0; first < picks_.size(); first += picks_per_row_) {
    const std::size_t end = first + picks_per_row_;
    for (std::size_t pick = first; pick < end; ++pick) {  // insertion: a row has few picks
      std::size_t at = pick;
      for (; at > first && group_of(order_[at - 1]) > group_of(pick); --at) order_[at] = order_[at - 1];
      order_[at] = static_cast<std::uint32_t>(pick);
    }
    for (std::size_t begin = first; begin < end;) {
      std::size_t next = begin + 1;
      while (next < end && group_of(order_[next]) == group_of(order_[begin])) ++next;
      link_group(begin, next);
      begin = next;
    }
  }
}

// Links the picks [begin, end) of a row's group, and counts the outputs that at least cross machines.
void ExchangePlan::link_group(std::size_t begin, std::size_t end) {
  const std::uint32_t node = place_of(begin).node;
  const auto machine = [&](std::size_t i) { return machine_of_node_[place_of(i).node]; };
  bool one_node = true, one_machine = true;
  std::uint64_t away = 0;
  for (std::size_t i = begin; i < end; ++i) {
    one_node = one_node && place_of(i).node == node;
    one_machine = one_machine && machine(i) == machine(begin);
    away += machine(i) != machine_of_node_[home_] ? 1 : 0;
  }
  link_[begin] = Link::Begins;
  const Link others = one_node && node != home_ ? Link::Joins : Link::Continues;
  for (std::size_t i = begin + 1; i < end; ++i) link_[i] = others;
  totals_.inter_node_minimum += (one_machine ? std::min<std::uint64_t>(away, 1) : away) * output_bytes_;
}

void ExchangePlan::number_outputs() {
  std::exclusive_scan(outputs_of_.begin(), outputs_of_.end(), first_output_.begin(), 0u);
  std::copy(first_output_.begin(), first_output_.end(), next_.begin());
  std::uint32_t* const output = output_.reserve(picks_.size());
  for (std::size_t i = 0; i < picks_.size(); ++i) output[i] = joins(i) ? output[i - 1] : next_[place_of(i).node]++;
}

std::span<const std::uint32_t> ExchangePlan::write_picks(const RecordForm& form, Rows<const float> weights,
                                                         std::byte* records) {
  std::exclusive_scan(rows_to_.begin(), rows_to_.end(), next_.begin(), 0u);
  const std::size_t count = std::accumulate(rows_to_.begin(), rows_to_.end(), std::size_t{0});
  row_of_record_.reserve(count);
  std::fill(last_row_.begin(), last_row_.end(), no_row);
  for (std::size_t i = 0; i < picks_.size(); ++i) {
    const SlotPlace& place = place_of(i);
    if (place.node == home_) continue;
    const auto row = static_cast<std::uint32_t>(i / picks_per_row_);
    if (std::exchange(last_row_[place.node], row) != row) {
      const std::uint32_t record = record_[place.node] = next_[place.node]++;
      row_of_record_[record] = row;
      form.clear_picks(records + record * form.bytes());
    }
    const float weight = by_groups() ? weights.row(row)[pick_at(i) % picks_per_row_] : 0;
    form.add_pick(records + record_[place.node] * form.bytes(), {place.slot, joins(i), weight});
  }
  return {row_of_record_.data(), count};
}

GroupTerms ExchangePlan::group_terms(Rows<const float> weights) {
  const std::size_t k = picks_per_row_;
  std::uint32_t* const output = term_output_.reserve(picks_.size());
  std::uint32_t* const end_of = term_end_.reserve(picks_.size());
  float* const weight = term_weight_.reserve(picks_.size());
  for (std::size_t row = 0; row < rows_; ++row) {
    const std::size_t first = row * k;
    std::size_t terms = 0, groups = 0;
    for (std::size_t i = first; i < first + k; ++i) {
      if (link_[i] == Link::Joins) {
        weight[first + terms - 1] = 1;
        continue;
      }
      if (link_[i] == Link::Begins && terms > 0) end_of[first + groups++] = static_cast<std::uint32_t>(terms);
      output[first + terms] = output_[i];
      weight[first + terms++] = weights.row(row)[order_[i] - first];
    }
    end_of[first + groups++] = static_cast<std::uint32_t>(terms);
    if (groups < k) end_of[first + groups] = 0;
  }
  return {{output, rows_, k}, {weight, rows_, k}, {end_of, rows_, k}};
}

std::uint64_t ExchangePlan::bytes() const {
  return place_.capacity_bytes() + order_.capacity_bytes() + link_.capacity_bytes() + output_.capacity_bytes() +
         row_of_record_.capacity_bytes() + term_output_.capacity_bytes() + term_end_.capacity_bytes() +
         term_weight_.capacity_bytes();
}

}  // namespace moemill::layers
