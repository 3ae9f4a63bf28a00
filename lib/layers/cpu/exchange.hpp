// Brings rows and their experts together and the outputs home: dispatch and combine of one expert domain, each in two
// halves, so that the block can compute while other ranks catch up and rows are on their way. This is the CPU's
// exchange; what it shares with other backends is in layers/dispatch. Called by the block once per MoE layer and
// channel; a channel is a micro-batch with places of its own. Every rank of the domain calls in the same order, with
// zero rows where it has none.
//
// Within a node nothing is copied and nothing is sent. A rank's rows lie in the node's memory from the start, it lists
// the pairs of a row and an expert there, and all ranks of the node share the experts' work by one rule
// (dispatch/node_split.hpp): they read rows where they lie and write outputs where their home reads them. Rows go to
// another node once, in one message a rank (dispatch/node_messages.hpp), are shared there like the node's own, and one
// bf16 row per pick comes back. Where outputs are summed by groups (model.expert_sum), the rank that has received a row
// sums the groups that its node computes whole, once its mates are done, and one bf16 row per such group comes back
// (dispatch/exchange_plan.hpp). Home makes all other sums in the same way, so that no bit depends on who sums.
//
// Partial order of a channel; the two channels are independent of each other:
//   begin_dispatch -> finish_dispatch -> experts fill ReceivedRows::outputs -> begin_combine -> finish_combine
//
// Why one place for everything is enough, round after round: finish_combine returns when all ranks of the node are done
// with the round. From then on nobody reads this rank's rows or list, and nobody writes its outputs, until it lists the
// next round; and nobody reads what has arrived here, so that room for the next rows is made known before the outputs
// leave, without which their sender sends no more.
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
#include "layers/dispatch/arrived_sums.hpp"
#include "layers/dispatch/domain_site.hpp"
#include "layers/dispatch/exchange_plan.hpp"
#include "layers/dispatch/exchange_totals.hpp"
#include "layers/dispatch/node_messages.hpp"
#include "layers/dispatch/node_places.hpp"
#include "layers/dispatch/node_share.hpp"
#include "layers/dispatch/received_rows.hpp"
#include "layers/dispatch/table.hpp"
#include "model/placement.hpp"
#include "system/comm/node_wait.hpp"

namespace moemill::cpu {

using layers::ReceivedRows;

class Exchange {
 public:
  static constexpr int channels = layers::NodeMessages::channels;

  Exchange(Stream& stream, layers::DomainSite site, const model::Placement& placement);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Where a channel's rows are written before begin_dispatch: [most rows, hidden]. They must stay as they are until
  // finish_combine.
  Rows<bf16> rows(int channel) const;
  // The first picks.rows of the channel's rows go to their experts. picks: [rows, picks], without a gap between rows;
  // the picks of a row are different experts. weights: [rows, picks], of their outputs; they must stay as they are
  // until finish_combine.
  void begin_dispatch(int channel, LayerId layer, Rows<const GlobalExpert> picks, Rows<const float> weights);
  // Waits until all rows for this node are known, and returns this rank's share of them. The experts of expert_begin
  // are the node's, ascending. The result is valid until begin_combine of this channel.
  ReceivedRows<> finish_dispatch(int channel);
  // This rank's part of ReceivedRows::outputs is complete.
  void begin_combine(int channel);
  // Waits until all outputs are there, then adds them to out [rows, hidden], by picks or by groups (weighted_sum and
  // sum_of_groups of kernels/rows.hpp).
  void finish_combine(int channel, Rows<float> out);

  // Advances the messages in flight; called between pieces of work. Never waits.
  void progress();

  layers::ExchangeTotals totals() const;
  // Picks of this rank's rows that each node has computed since the start: [layers, nodes of the domain].
  std::span<const std::uint64_t> node_picks() const { return node_picks_; }
  // Of this rank: private memory, and of the node's what its own rows take at most and those that have arrived at it.
  std::uint64_t workspace_bytes() const;
  // Of the node's memory, if ranks share it: what has been touched by any of them, and how many they are.
  const NodeMemory& node_memory() const { return site_.memory; }

 private:
  enum class Phase { Idle, Dispatching, Received, Combining };  // in this order, once per MoE layer
  struct Channel {
    Phase phase = Phase::Idle;
    LayerId layer{};
    std::uint32_t round = 0;                           // of this channel; flags count rounds
    Rows<const float> weights = {};                    // of this rank's rows
    bool outputs_sent = false;                         // to the senders of the rows that have arrived
    layers::ExchangePlan plan;                         // of this rank's rows
    Buffer<std::byte> records = {};                    // to other nodes
    std::vector<std::uint32_t> outputs_to = {};        // [senders] outputs for each
    std::vector<const std::byte*> first_outputs = {};  // [senders] where they lie
    layers::ArrivedSums sums = {};                     // of the rows that have arrived
    bool is_summing = false;                           // within a kernel that makes these sums
    layers::NodeShare share = {};
    std::uint64_t most_arrived_bytes = 0;  // of all senders in a round, so far
  };
  Channel& at(int channel, Phase expected, const char* invariant);
  bool alone_on_node() const { return nodes_.ranks_of(node_).size() == 1; }
  std::byte* memory() const { return site_.memory.data(); }
  void list_own_rows(int channel, Channel& c);
  void send_rows(int channel, Channel& c);
  void list_arrived_rows(int channel, Channel& c);
  void count_pairs(const Channel& c);
  void post_rows(int channel);
  enum class Caller { Layer, BetweenPieces };  // what the rank is at: an exchange's call, or another kernel
  bool send_outputs(int channel, Channel& c, Caller caller);
  bool sum_arrived(Channel& c, Caller caller);
  void add_outputs(int channel, Channel& c, Rows<float> out);
  void arrive(int channel, layers::Stage stage);
  bool mates_have_reached(int channel, layers::Stage stage, std::uint32_t round) const;
  void wait_for_mates(int channel, layers::Stage stage, std::uint32_t round);
  template <class Ready>
  void wait_for_messages(const Ready& ready);
  bool let_messages_move();

  Stream& stream_;
  layers::DomainSite site_;
  const layers::DomainNodes nodes_;
  const std::uint32_t node_, place_;  // of this rank
  const layers::DispatchTable table_;
  const layers::NodePlaces places_;
  const std::vector<int> machines_;  // [nodes]
  std::array<Channel, channels> channel_;
  layers::NodeMessages messages_;  // ends before what it may still be sending from
  WhileWaiting meanwhile_;
  std::vector<layers::PairList> lists_;  // scratch
  layers::ExchangeTotals totals_;        // of the experts' work
  std::vector<std::uint64_t> node_picks_;
};

}  // namespace moemill::cpu
