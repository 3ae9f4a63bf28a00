// Sends rows to the ranks that hold their experts and brings the outputs back: dispatch and combine of one expert
// domain, each in two halves, so that the block can compute while rows are on their way. This is the CPU's exchange,
// which packs rows in the memory that the transport sends; what it shares with other backends is in layers/dispatch.
// Called by the block once per MoE layer and channel; a channel is a micro-batch with buffers of its own. Every rank of
// the domain calls in the same order, with zero rows where it has none. A row goes to a rank once, however many of its
// picks are computed there; one bf16 row per pick comes back.
//
// Partial order of a channel; the two channels are independent of each other:
//   begin_dispatch -> finish_dispatch -> experts fill ReceivedRows::outputs -> begin_combine -> finish_combine
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "base/ids.hpp"
#include "base/numbers/bf16.hpp"
#include "kernels/cpu/stream.hpp"
#include "layers/dispatch/exchange_totals.hpp"
#include "layers/dispatch/flat_transport.hpp"
#include "layers/dispatch/pair_list.hpp"
#include "layers/dispatch/received_rows.hpp"
#include "layers/dispatch/records.hpp"
#include "layers/dispatch/table.hpp"
#include "model/placement.hpp"
#include "system/comm/comm.hpp"

namespace moemill::cpu {

using layers::ReceivedRows;

class Exchange {
 public:
  static constexpr int channels = layers::FlatTransport::channels;

  // picks: how many per row, the model's top-k. node_of_domain_rank: [domain size] the node that each rank is on.
  Exchange(Stream& stream, Comm domain, const model::Placement& placement, std::uint32_t hidden, std::uint32_t picks,
           std::span<const int> node_of_domain_rank);

  // rows: [rows, hidden], picks: [rows, picks], without a gap between rows; the picks of a row are different experts.
  // Both must stay as they are until begin_combine of this channel (a domain of one rank computes on them in place).
  void begin_dispatch(int channel, LayerId layer, Rows<const bf16> rows, Rows<const GlobalExpert> picks);
  // Waits until all rows for this rank are there. The result is valid until begin_combine of this channel.
  ReceivedRows<> finish_dispatch(int channel);
  // Sends ReceivedRows::outputs back to the ranks that the rows came from.
  void begin_combine(int channel);
  // Waits until all outputs are back, then out[r] += sum over picks, in pick order, of weights[r, p] * output of pick
  // p. weights: [rows, picks]; out: [rows, hidden].
  void finish_combine(int channel, Rows<const float> weights, Rows<float> out);

  // Advances the transfers in flight; called between pieces of work. Never waits.
  void progress();

  layers::ExchangeTotals totals() const;
  std::uint64_t workspace_bytes() const;

 private:
  enum class Phase { Idle, Dispatching, Received, Combining };  // in this order, once per MoE layer
  struct Channel {
    Phase phase = Phase::Idle;
    LayerId layer;
    Rows<const bf16> rows;                 // [rows, hidden] the caller's
    layers::RoutedPicks routed;            // the caller's
    layers::Shares shares;                 // to and from each other rank; this rank's own entries are zero
    std::uint32_t own_outputs = 0;         // outputs that this rank makes for its own rows
    std::uint32_t returning_outputs = 0;   // outputs that come back from other ranks
    std::vector<std::uint32_t> to_others;  // [ranks] outputs that go back to each rank
    Buffer<std::uint32_t> output_of_pick;  // [rows, picks] index into outputs
    layers::PairList pairs;
    // [from other ranks, by rank][own][to other ranks, by rank]: in one array, so that one index finds the output of
    // any pick of this rank's rows, wherever it was computed.
    Buffer<bf16> outputs;
  };
  Channel& at(int channel, Phase expected, const char* invariant);
  void send(int channel, Channel& c);
  template <class Wait>
  auto waiting(const Wait& wait);
  void count_pairs(const Channel& c);
  void copy_rows(const Channel& c, std::span<const layers::RowCopy> copies);
  template <class Visit>
  void for_each_pair(Channel& c, const layers::Arrivals& arrivals, const Visit& visit) const;
  bool alone() const { return transport_.ranks() == 1; }

  Stream& stream_;
  const std::size_t hidden_;
  const std::size_t picks_;
  const layers::RecordForm form_;
  layers::FlatTransport transport_;
  const layers::DispatchTable table_;
  layers::RecordPacker packer_;
  std::vector<std::uint32_t> first_output_;  // [ranks] scratch
  std::array<Channel, channels> channel_;
  layers::ExchangeTotals totals_;  // without bytes, which the transport counts
};

}  // namespace moemill::cpu
