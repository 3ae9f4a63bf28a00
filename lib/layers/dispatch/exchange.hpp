// Rows travel to the ranks that hold their experts and come home: dispatch and combine of one expert domain, in two
// halves each, so that the block can compute while rows travel. Called by the block once per MoE layer and channel; a
// channel is a micro-batch with buffers of its own. Every rank of the domain calls in the same order, with zero rows
// where it has none. A row goes to a rank once, however many of its picks are computed there; one bf16 row per pick
// comes home.
//
// Partial order of a channel; nothing binds the two channels to each other:
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

namespace moemill::layers {

class Exchange {
 public:
  static constexpr int channels = FlatTransport::channels;

  // picks: top-k of the model. node_of_domain_rank: [domain size], which node a rank is on.
  Exchange(cpu::Stream& stream, Comm domain, const model::Placement& placement, std::uint32_t hidden,
           std::uint32_t picks, std::span<const int> node_of_domain_rank);

  // rows: [rows, hidden], picks: [rows, picks], close together, different experts within a row. Both must stay as they
  // are until begin_combine of this channel (a domain of one rank computes on them in place).
  void begin_dispatch(int channel, LayerId layer, Rows<const bf16> rows, Rows<const GlobalExpert> picks);
  // Waits until all rows for this rank are there. The result is valid until begin_combine of this channel.
  ReceivedRows finish_dispatch(int channel);
  // Sends ReceivedRows::outputs home.
  void begin_combine(int channel);
  // Waits until all outputs are home, then out[r] += sum over picks, in pick order, of weights[r, p] * output of pick
  // p. weights: [rows, picks]; out: [rows, hidden].
  void finish_combine(int channel, Rows<const float> weights, Rows<float> out);

  // Lets rows in flight move; called between pieces of work. Never waits.
  void progress();

  ExchangeTotals totals() const;
  std::uint64_t workspace_bytes() const;

 private:
  enum class Phase { Idle, Dispatching, Received, Combining };  // in this order, once per MoE layer
  struct Channel {
    Phase phase = Phase::Idle;
    LayerId layer;
    RoutedRows rows;                       // the caller's
    Shares shares;                         // of other ranks; this rank's own entries are zero
    std::uint32_t own_outputs = 0;         // outputs that this rank makes for its own rows
    std::uint32_t home = 0;                // outputs that come home from other ranks
    std::vector<std::uint32_t> to_others;  // [ranks] outputs that go back to each
    Buffer<std::uint32_t> output_of_pick;  // [count, picks] index into outputs
    PairList pairs;
    // [come home from others, by rank][own][go back to others, by rank]. In one array, so that one index finds the
    // answer to any pick of an own row, wherever it was computed.
    Buffer<bf16> outputs;
  };
  Channel& at(int channel, Phase expected, const char* invariant);
  void send(int channel, Channel& c);
  template <class Visit>
  void for_each_pair(Channel& c, const Arrivals& arrivals, const Visit& visit) const;
  bool alone() const { return transport_.ranks() == 1; }

  cpu::Stream& stream_;
  const std::size_t hidden_;
  const std::size_t picks_;
  const RecordForm form_;
  FlatTransport transport_;
  const DispatchTable table_;
  RecordPacker packer_;
  std::vector<std::uint32_t> first_output_;  // [ranks] scratch
  std::array<Channel, channels> channel_;
  ExchangeTotals totals_;  // without bytes, which the transport counts
};

}  // namespace moemill::layers
