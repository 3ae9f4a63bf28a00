#include "layers/dispatch/exchange_plan.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/numbers/bf16.hpp"

namespace moemill::layers {

namespace {

constexpr std::uint32_t no_row = ~0u;

}  // namespace

ExchangePlan::ExchangePlan(const ExchangeShape& shape, std::uint32_t nodes, std::uint32_t home,
                           std::span<const int> machine_of_node)
    : picks_per_row_(shape.picks),
      home_(home),
      record_bytes_(RecordForm(shape.hidden, shape.picks).bytes()),
      output_bytes_(shape.hidden * sizeof(bf16)),
      machine_of_node_(machine_of_node.begin(), machine_of_node.end()),
      rows_to_(nodes),
      outputs_of_(nodes),
      first_output_(nodes),
      last_row_(nodes),
      record_(nodes),
      next_(nodes),
      last_row_of_machine_(
          1 + static_cast<std::size_t>(*std::max_element(machine_of_node.begin(), machine_of_node.end()))) {}

void ExchangePlan::make(std::span<const GlobalExpert> picks, std::span<const SlotPlace> places) {
  picks_ = picks, places_ = places, rows_ = picks.size() / picks_per_row_;
  std::fill(rows_to_.begin(), rows_to_.end(), 0);
  std::fill(outputs_of_.begin(), outputs_of_.end(), 0);
  std::fill(last_row_.begin(), last_row_.end(), no_row);
  std::fill(last_row_of_machine_.begin(), last_row_of_machine_.end(), no_row);
  const int here = machine_of_node_[home_];
  for (std::size_t i = 0; i < picks.size(); ++i) {
    const auto row = static_cast<std::uint32_t>(i / picks_per_row_);
    const std::uint32_t node = place_of(i).node;
    const int machine = machine_of_node_[node];
    ++outputs_of_[node];
    if (std::exchange(last_row_[node], row) != row && node != home_) ++rows_to_[node];
    const bool is_first = std::exchange(last_row_of_machine_[static_cast<std::size_t>(machine)], row) != row;
    totals_.row_nodes += is_first ? 1 : 0;
    if (machine != here) totals_.inter_node_minimum += output_bytes_ + (is_first ? record_bytes_ : 0);
  }
  const auto sent = std::accumulate(rows_to_.begin(), rows_to_.end(), std::uint64_t{0});
  totals_.rows += rows_;
  totals_.rows_sent += sent;
  totals_.rows_deduplicated += picks.size() - outputs_of_[home_] - sent;
  number_outputs();
}

void ExchangePlan::number_outputs() {
  std::exclusive_scan(outputs_of_.begin(), outputs_of_.end(), first_output_.begin(), 0u);
  std::copy(first_output_.begin(), first_output_.end(), next_.begin());
  std::uint32_t* const output = output_of_pick_.reserve(picks_.size());
  for (std::size_t i = 0; i < picks_.size(); ++i) output[i] = next_[place_of(i).node]++;
}

std::span<const std::uint32_t> ExchangePlan::write_slots(const RecordForm& form, std::byte* records) {
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
      form.clear_slots(records + record * form.bytes());
    }
    form.add_slot(records + record_[place.node] * form.bytes(), place.slot);
  }
  return {row_of_record_.data(), count};
}

}  // namespace moemill::layers
