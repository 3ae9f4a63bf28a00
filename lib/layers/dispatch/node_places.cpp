#include "layers/dispatch/node_places.hpp"

#include <limits>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"

namespace moemill::layers {

namespace {

constexpr std::uint64_t line_bytes = 64;  // ranks that spin on a flag do not take a neighbour's from its writer
constexpr std::uint64_t page_bytes = 4096;
constexpr std::uint64_t slack_bytes = page_bytes;  // kernels load whole vectors past the last value

// The next place for so many bytes.
std::uint64_t take(std::uint64_t& end, std::uint64_t bytes) {
  const std::uint64_t at = end;
  end = round_up(end + bytes, page_bytes);
  return at;
}

}  // namespace

NodePlaces::NodePlaces(const ExchangeShape& shape, const DomainNodes& nodes, std::uint32_t node)
    : shape_(shape),
      form_(shape.hidden, shape.picks, shape.sum()),
      ranks_(static_cast<std::uint32_t>(nodes.ranks_of(node).size())),
      first_sender_{0} {
  for (const int rank : nodes.ranks_of(node))
    first_sender_.push_back(first_sender_.back() + static_cast<std::uint32_t>(nodes.senders_to(rank).size()));
  blocks_of_channel_ = ranks_ + first_sender_.back();
  const std::uint64_t rows = rows_in_all(), pairs = rows * shape.picks;
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  if (pairs > most)
    user_error(
        "parallel.max_num_batched_tokens: {} rows of each of {} ranks are more than the {} ranks of a node can number; "
        "lower it to {}",
        shape.rows, nodes.ranks(), ranks_, most / (std::uint64_t{shape.channels} * blocks_of_channel_ * shape.picks));
  const std::uint64_t lists = 2 * std::uint64_t{shape.channels} * ranks_;
  std::uint64_t end = round_up(line_bytes * (1 + stages * shape.channels * ranks_), page_bytes);
  list_begins_ = take(end, lists * (shape.experts + 1) * sizeof(std::uint32_t));
  list_rows_ = take(end, pairs * sizeof(std::uint32_t));
  list_outputs_ = take(end, pairs * sizeof(std::uint32_t));
  rows_ = take(end, rows * form_.bytes());
  outputs_ = take(end, pairs * shape.hidden * sizeof(bf16));
  bytes_ = end + slack_bytes;
}

std::uint64_t NodePlaces::bytes_of_own_rows() const {
  const std::uint64_t rows = shape_.rows_of_all_channels();
  return bytes_of_arrived(rows, rows * shape_.picks) +
         std::uint64_t{shape_.channels} * (shape_.experts + 1) * sizeof(std::uint32_t);
}

std::uint64_t NodePlaces::bytes_of_arrived(std::uint64_t rows, std::uint64_t picks) const {
  return rows * form_.bytes() + picks * (shape_.hidden * sizeof(bf16) + 2 * sizeof(std::uint32_t));
}

Rows<bf16> NodePlaces::rows(std::byte* memory) const {
  return {reinterpret_cast<bf16*>(memory + rows_), rows_in_all(), shape_.hidden, form_.stride()};
}

Rows<bf16> NodePlaces::outputs(std::byte* memory) const {
  return {reinterpret_cast<bf16*>(memory + outputs_), rows_in_all() * shape_.picks, shape_.hidden};
}

// `number` counts lists, `first_pair` the pairs of all lists before.
PairList NodePlaces::list(std::byte* memory, std::uint64_t number, std::uint64_t first_pair) const {
  const auto at = [&](std::uint64_t offset, std::uint64_t values) {
    return reinterpret_cast<std::uint32_t*>(memory + offset) + values;
  };
  return {at(list_begins_, number * (shape_.experts + 1)), at(list_rows_, first_pair), at(list_outputs_, first_pair)};
}

PairList NodePlaces::own_list(std::byte* memory, int channel, std::uint32_t place) const {
  const std::uint64_t number = 2 * (static_cast<std::uint64_t>(channel) * ranks_ + place);
  return list(memory, number, std::uint64_t{first_row(channel, place)} * shape_.picks);
}

PairList NodePlaces::arrived_list(std::byte* memory, int channel, std::uint32_t place) const {
  const std::uint64_t number = 2 * (static_cast<std::uint64_t>(channel) * ranks_ + place) + 1;
  return list(memory, number, std::uint64_t{first_arrived_row(channel, place, 0)} * shape_.picks);
}

NodeWord& NodePlaces::flag(std::byte* memory, int channel, std::uint32_t place, Stage stage) const {
  const std::uint64_t number =
      (static_cast<std::uint64_t>(channel) * ranks_ + place) * stages + static_cast<std::uint64_t>(stage);
  return *reinterpret_cast<NodeWord*>(memory + (1 + number) * line_bytes);
}

NodeWord& NodePlaces::left(std::byte* memory) const { return *reinterpret_cast<NodeWord*>(memory); }

}  // namespace moemill::layers
