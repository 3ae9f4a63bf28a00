// What the exchange counts. Plain values that every backend and transport shares.
#pragma once

#include <cstdint>

namespace moemill::layers {

// Totals of this rank since the start. Seconds are wall time; bytes are payload sent to other ranks, both ways.
struct ExchangeTotals {
  double seconds = 0;                   // packing, sending, waiting for rows, unpacking
  std::uint64_t rows_sent = 0;          // row copies that dispatch sent to other ranks
  std::uint64_t rows_deduplicated = 0;  // copies saved because one rank computes several picks of a row
  std::uint64_t intra_node_bytes = 0;
  std::uint64_t inter_node_bytes = 0;
  // What routing made of the rows, each layer and micro-batch: pairs of a row and an expert that this rank computes,
  // its experts that got any, and by how much these pairs differ from those that its own rows have.
  std::uint64_t pairs = 0, experts_touched = 0, uneven_pairs = 0;
};

}  // namespace moemill::layers
