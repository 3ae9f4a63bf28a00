// The form of a row that travels to another node. A record is the row's bf16 values, then how many of its picks that
// node computes, then the slots of their experts. Where outputs are summed by groups (model.expert_sum), picks whose
// outputs come home as one sum follow each other, all but the first of them marked, and the picks' weights come behind.
// Rows of the node itself lie at the same distance from each other, so that one index finds any row in the node's
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/arithmetic.hpp"
#include "base/numbers/bf16.hpp"
#include "base/numbers/rounding.hpp"

namespace moemill::layers {

// A pick as a record has it.
struct SentPick {
  std::uint32_t slot = 0;
  bool joins = false;  // its output is added to that of the pick before, and only the sum comes home
  float weight = 0;    // if outputs are summed by groups
};

class RecordForm {
 public:
  using Tag = std::uint16_t;  // a number of picks, or a slot and a mark
  static constexpr std::uint32_t joins_mark = 0x8000;
  static constexpr std::uint32_t max_slot = joins_mark - 1;

  explicit RecordForm(std::size_t hidden, std::size_t picks, ExpertSum sum = ExpertSum::Picks)
      : row_bytes_(hidden * sizeof(bf16)),
        weights_at_(round_up(row_bytes_ + (1 + picks) * sizeof(Tag), sizeof(float))),
        has_weights_(sum == ExpertSum::Groups),
        bytes_(round_up(has_weights_ ? weights_at_ + picks * sizeof(float) : row_bytes_ + (1 + picks) * sizeof(Tag),
                        std::size_t{16})) {}

  std::size_t row_bytes() const { return row_bytes_; }
  std::size_t bytes() const { return bytes_; }                  // a multiple of 16
  std::size_t stride() const { return bytes_ / sizeof(bf16); }  // of rows, in values
  void clear_picks(std::byte* record) const { tags(record)[0] = 0; }
  void add_pick(std::byte* record, const SentPick& pick) const {
    Tag* all = tags(record);
    if (has_weights_) reinterpret_cast<float*>(record + weights_at_)[all[0]] = pick.weight;
    all[++all[0]] = static_cast<Tag>(pick.slot | (pick.joins ? joins_mark : 0));
  }
  std::size_t picks(const std::byte* record) const { return tags(record)[0]; }
  SentPick pick(const std::byte* record, std::size_t i) const {
    const Tag tag = tags(record)[1 + i];
    return {tag & max_slot, (tag & joins_mark) != 0,
            has_weights_ ? reinterpret_cast<const float*>(record + weights_at_)[i] : 0};
  }

 private:
  Tag* tags(std::byte* record) const { return reinterpret_cast<Tag*>(record + row_bytes_); }
  const Tag* tags(const std::byte* record) const { return reinterpret_cast<const Tag*>(record + row_bytes_); }

  std::size_t row_bytes_;
  std::size_t weights_at_;
  bool has_weights_;
  std::size_t bytes_;
};

}  // namespace moemill::layers
