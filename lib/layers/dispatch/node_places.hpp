// Where everything lies that the ranks of a node have in common for the exchange: the rows of each rank, rows that have
// arrived from other nodes, an output for each of their picks, lists of pairs, and flags. Sizes are those of the
// largest micro-batch; what is never touched takes no memory. Every rank of the node computes the same places. Used by
// the exchange and by whoever makes its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"
#include "layers/dispatch/domain_nodes.hpp"
#include "layers/dispatch/exchange_shape.hpp"
#include "layers/dispatch/pair_list.hpp"
#include "layers/dispatch/records.hpp"
#include "system/comm/node_wait.hpp"

namespace moemill::layers {

// What a rank tells its mates of a channel's layer: that its own rows are listed, that those are which it has got from
// other nodes, and that its part of the experts' work is done.
enum class Stage { Listed, Arrived, Done };
inline constexpr std::size_t stages = 3;

class NodePlaces {
 public:
  // UserError if there are more places than an index of 32 bits counts.
  NodePlaces(const ExchangeShape& shape, const DomainNodes& nodes, std::uint32_t node);

  const RecordForm& form() const { return form_; }
  std::uint64_t bytes() const { return bytes_; }
  // What a rank's own rows take at most: rows, outputs and their list, in all channels.
  std::uint64_t bytes_of_own_rows() const;
  // What rows that have arrived take, of which the node computes so many picks.
  std::uint64_t bytes_of_arrived(std::uint64_t rows, std::uint64_t picks) const;

  // The number of a rank's first row and output, of those that lie in the node's memory. `sender` counts the ranks that
  // send to the rank at `place`.
  std::uint32_t first_row(int channel, std::uint32_t place) const { return block(channel, place) * shape_.rows; }
  std::uint32_t first_arrived_row(int channel, std::uint32_t place, std::size_t sender) const {
    return arrived_block(channel, place, sender) * shape_.rows;
  }
  std::uint32_t outputs_of(std::uint32_t row) const { return row * shape_.picks; }  // from this number on

  // All rows and all outputs in the node's memory.
  Rows<bf16> rows(std::byte* memory) const;
  Rows<bf16> outputs(std::byte* memory) const;
  // The list of a rank's own rows, and that of the rows which have arrived at it.
  PairList own_list(std::byte* memory, int channel, std::uint32_t place) const;
  PairList arrived_list(std::byte* memory, int channel, std::uint32_t place) const;
  NodeWord& flag(std::byte* memory, int channel, std::uint32_t place, Stage stage) const;
  NodeWord& left(std::byte* memory) const;  // not zero: a rank has given up

  std::size_t senders(std::uint32_t place) const { return first_sender_[place + 1] - first_sender_[place]; }

 private:
  std::uint32_t block(int channel, std::uint32_t place) const {
    return static_cast<std::uint32_t>(channel) * blocks_of_channel_ + place;
  }
  std::uint32_t arrived_block(int channel, std::uint32_t place, std::size_t sender) const {
    return block(channel, ranks_ + first_sender_[place] + static_cast<std::uint32_t>(sender));
  }
  std::uint64_t rows_in_all() const { return std::uint64_t{shape_.channels} * blocks_of_channel_ * shape_.rows; }
  PairList list(std::byte* memory, std::uint64_t number, std::uint64_t first_pair) const;

  const ExchangeShape shape_;
  const RecordForm form_;
  const std::uint32_t ranks_;                // of the node
  std::vector<std::uint32_t> first_sender_;  // [ranks + 1] among those of all ranks of the node
  std::uint32_t blocks_of_channel_ = 0;      // own and arrived rows: so many times shape.rows
  // Offsets in the node's memory. Flags come first.
  std::uint64_t list_begins_ = 0, list_rows_ = 0, list_outputs_ = 0, rows_ = 0, outputs_ = 0, bytes_ = 0;
};

}  // namespace moemill::layers
