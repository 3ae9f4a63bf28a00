// The wire form of rows on their way to the ranks that hold their experts, and the host's part of packing them. A
// record is a row's bf16 values, then how many of its picks that rank computes, then the slots of their experts in pick
// order. A row goes to a rank once, however many of its picks are computed there. Used by a backend's exchange, which
// moves the values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "model/placement.hpp"

namespace moemill::layers {

class RecordForm {
 public:
  using Tag = std::uint16_t;  // a number of picks, or a slot
  static constexpr std::uint32_t max_tag = 0xffff;

  RecordForm(std::size_t hidden, std::size_t picks);

  std::size_t row_bytes() const { return row_bytes_; }
  std::size_t bytes() const { return bytes_; }  // a multiple of 16
  void clear_slots(std::byte* record) const { tags(record)[0] = 0; }
  void add_slot(std::byte* record, LocalExpert slot) const {
    Tag* all = tags(record);
    all[++all[0]] = static_cast<Tag>(slot.value);
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

// The picks of a micro-batch of this rank's rows in one layer.
struct RoutedPicks {
  std::span<const GlobalExpert> picks;       // [rows, picks]
  std::span<const model::Holder> holder_of;  // [experts]
};

// A row whose values go into a record.
struct RowCopy {
  std::byte* record;
  std::uint32_t row;
};

// How much goes to each rank and comes back, this rank itself among them.
struct Shares {
  std::vector<std::uint32_t> records;  // [ranks]
  std::vector<std::uint32_t> outputs;  // [ranks] one per pick
};

class RecordPacker {
 public:
  RecordPacker(RecordForm form, std::size_t picks, std::size_t ranks);

  void count(const RoutedPicks& routed, Shares& shares);
  // Writes the slots of all records and returns which row goes into which record, valid until the next call.
  // first_record: [ranks] where those for each rank begin. first_output: [ranks] number of the output that answers the
  // first pick computed there. output_of_pick: [rows, picks], is filled.
  std::span<const RowCopy> pack(const RoutedPicks& routed, std::span<std::byte* const> first_record,
                                std::span<const std::uint32_t> first_output, std::uint32_t* output_of_pick);

 private:
  bool is_new(std::size_t rank, std::uint32_t row);

  const RecordForm form_;
  const std::size_t picks_per_row_;
  // By rank: the record of the current row, the next free record and output, the last row that went there.
  std::vector<std::byte*> record_, next_record_;
  std::vector<std::uint32_t> next_output_, last_row_;
  std::vector<RowCopy> copies_;
};

}  // namespace moemill::layers
