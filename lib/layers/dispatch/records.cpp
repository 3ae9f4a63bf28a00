#include "layers/dispatch/records.hpp"

#include <algorithm>
#include <utility>

#include "base/numbers/bf16.hpp"
#include "base/numbers/rounding.hpp"

namespace moemill::layers {

namespace {
constexpr std::uint32_t no_row = ~0u;
}  // namespace

RecordForm::RecordForm(std::size_t hidden, std::size_t picks)
    : row_bytes_(hidden * sizeof(bf16)), bytes_(round_up(row_bytes_ + (1 + picks) * sizeof(Tag), std::size_t{16})) {}

RecordPacker::RecordPacker(RecordForm form, std::size_t picks, std::size_t ranks)
    : form_(form), picks_per_row_(picks), record_(ranks), next_record_(ranks), next_output_(ranks), last_row_(ranks) {}

bool RecordPacker::is_new(std::size_t rank, std::uint32_t row) { return std::exchange(last_row_[rank], row) != row; }

void RecordPacker::count(const RoutedPicks& routed, Shares& shares) {
  std::fill(shares.records.begin(), shares.records.end(), 0);
  std::fill(shares.outputs.begin(), shares.outputs.end(), 0);
  std::fill(last_row_.begin(), last_row_.end(), no_row);
  for (std::size_t i = 0; i < routed.picks.size(); ++i) {
    const model::Holder& holder = routed.holder_of[static_cast<std::size_t>(routed.picks[i].value)];
    const auto to = static_cast<std::size_t>(holder.rank.value);
    ++shares.outputs[to];
    shares.records[to] += is_new(to, static_cast<std::uint32_t>(i / picks_per_row_));
  }
}

std::span<const RowCopy> RecordPacker::pack(const RoutedPicks& routed, std::span<std::byte* const> first_record,
                                            std::span<const std::uint32_t> first_output,
                                            std::uint32_t* output_of_pick) {
  std::copy(first_record.begin(), first_record.end(), next_record_.begin());
  std::copy(first_output.begin(), first_output.end(), next_output_.begin());
  std::fill(last_row_.begin(), last_row_.end(), no_row);
  copies_.clear();
  for (std::size_t i = 0; i < routed.picks.size(); ++i) {
    const model::Holder& holder = routed.holder_of[static_cast<std::size_t>(routed.picks[i].value)];
    const auto to = static_cast<std::size_t>(holder.rank.value);
    const auto row = static_cast<std::uint32_t>(i / picks_per_row_);
    if (is_new(to, row)) {
      record_[to] = std::exchange(next_record_[to], next_record_[to] + form_.bytes());
      form_.clear_slots(record_[to]);
      copies_.push_back({record_[to], row});
    }
    form_.add_slot(record_[to], holder.slot);
    output_of_pick[i] = next_output_[to]++;
  }
  return copies_;
}

}  // namespace moemill::layers
