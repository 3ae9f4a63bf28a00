// The form of a row that travels to another node. A record is the row's bf16 values, then how many of its picks that
// node computes, then the slots of their experts in pick order. Rows of the node itself lie at the same distance from
// each other, so that one index finds any row in the node's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/numbers/bf16.hpp"
#include "base/numbers/rounding.hpp"

namespace moemill::layers {

class RecordForm {
 public:
  using Tag = std::uint16_t;  // a number of picks, or a slot
  static constexpr std::uint32_t max_tag = 0xffff;

  RecordForm(std::size_t hidden, std::size_t picks)
      : row_bytes_(hidden * sizeof(bf16)), bytes_(round_up(row_bytes_ + (1 + picks) * sizeof(Tag), std::size_t{16})) {}

  std::size_t row_bytes() const { return row_bytes_; }
  std::size_t bytes() const { return bytes_; }                  // a multiple of 16
  std::size_t stride() const { return bytes_ / sizeof(bf16); }  // of rows, in values
  void clear_slots(std::byte* record) const { tags(record)[0] = 0; }
  void add_slot(std::byte* record, std::uint32_t slot) const {
    Tag* all = tags(record);
    all[++all[0]] = static_cast<Tag>(slot);
  }
  std::span<const Tag> slots(const std::byte* record) const {
    const Tag* all = reinterpret_cast<const Tag*>(record + row_bytes_);
    return {all + 1, all[0]};
  }

 private:
  Tag* tags(std::byte* record) const { return reinterpret_cast<Tag*>(record + row_bytes_); }

  std::size_t row_bytes_;
  std::size_t bytes_;
};

}  // namespace moemill::layers
