// What the exchange counts. Plain values that every backend and transport shares.
#pragma once

#include <cstdint>

namespace moemill::layers {

// Totals of this rank since the start. Seconds are wall time; bytes are payload in messages to other ranks, both ways.
struct ExchangeTotals {
  double seconds = 0;                   // of the next two
  double pack_seconds = 0;              // listing, packing and sending
  double wait_seconds = 0;              // with nothing to do until other ranks are as far
  std::uint64_t rows_sent = 0;          // row copies that dispatch sent to ranks without common memory
  std::uint64_t rows_deduplicated = 0;  // copies saved because several picks of a row are computed there
  std::uint64_t intra_node_bytes = 0;   // where ranks of a node share no memory
  std::uint64_t inter_node_bytes = 0;   // between nodes
  // The bytes if each row goes to a node once and, for each pick or whole group of picks, an output returns.
  std::uint64_t inter_node_minimum = 0;
  std::uint64_t messages = 0;     // sent, both ways
  std::uint64_t rows_routed = 0;  // rows of all layers with experts
  std::uint64_t row_nodes = 0;    // nodes that compute picks of a row, for all these rows
  // Cost of the experts' work as a node's ranks share it (node_split.hpp), in rows, for all layers: this rank's; that
  // of the busiest rank of its node; and that of the rank that would be the busiest if each computed its own experts.
  std::uint64_t work = 0;
  std::uint64_t busiest_work = 0;
  std::uint64_t busiest_owner_work = 0;
  // In each layer and micro-batch: pairs of a row and an expert that this rank computes, and the experts that these are
  // of.
  std::uint64_t pairs = 0, experts_touched = 0;
};

}  // namespace moemill::layers
