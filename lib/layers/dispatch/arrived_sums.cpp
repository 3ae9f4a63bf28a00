#include "layers/dispatch/arrived_sums.hpp"

namespace moemill::layers {

void ArrivedSums::clear() {
  output_of_pick_.clear(), row_of_.clear(), weights_.clear();
  begin_.assign(1, 0);
  made_ = 0;
}

std::uint32_t ArrivedSums::take(const RecordForm& form, const std::byte* records, std::uint32_t count,
                                std::uint32_t first_output) {
  std::uint32_t sent = 0;
  for (std::uint32_t r = 0; r < count; ++r)
    for (std::size_t i = 0; i < form.picks(records + r * form.bytes()); ++i)
      sent += form.pick(records + r * form.bytes(), i).joins ? 0 : 1;
  std::uint32_t next = first_output, joining = first_output + sent;
  for (std::uint32_t r = 0; r < count; ++r) {
    const std::byte* const record = records + r * form.bytes();
    SentPick before;
    for (std::size_t i = 0; i < form.picks(record); ++i) {
      const SentPick pick = form.pick(record, i);
      if (pick.joins && !before.joins) row_of_.push_back(output_of_pick_.back()), weights_.push_back(before.weight);
      if (!pick.joins && before.joins) begin_.push_back(static_cast<std::uint32_t>(row_of_.size()));
      output_of_pick_.push_back(pick.joins ? joining++ : next++);
      if (pick.joins) row_of_.push_back(output_of_pick_.back()), weights_.push_back(pick.weight);
      before = pick;
    }
    if (before.joins) begin_.push_back(static_cast<std::uint32_t>(row_of_.size()));
  }
  return sent;
}

}  // namespace moemill::layers
