// Rows travel to the ranks that hold their experts and come home: dispatch and combine of one expert domain, each with
// a send half and a receive half, so that the block can compute while rows travel. Called by the block in the order
// send_dispatch, receive_dispatch, send_combine, receive_combine, once a MoE layer and channel; a channel is a
// micro-batch with buffers of its own. Every rank of the domain calls in the same order, with zero rows where it has
// none. A row goes to a rank once, however many of its picks live there; one bf16 row a pick comes home.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/bf16.hpp"
#include "base/ids.hpp"
#include "kernels/stream.hpp"
#include "model/placement.hpp"
#include "system/comm/comm.hpp"

namespace moemill::layers {

// The rows this rank computes in this layer, its own and other ranks', and where the results go. A pair is one (row,
// expert) of it; pairs are listed by expert, so that all ranks' rows for an expert meet in one product.
// Valid until send_combine of the same channel.
struct ReceivedRows {
  const bf16* rows = nullptr;  // [count, hidden], row r at rows + r * stride
  std::size_t stride = 0;
  std::uint32_t count = 0;
  std::span<const std::uint32_t>
      expert_begin;                      // [local experts + 1]: pairs of LocalExpert e are [begin[e], begin[e+1])
  std::span<const std::uint32_t> row;    // [pairs] index into rows
  std::span<const std::uint32_t> place;  // [pairs] index into outputs
  bf16* outputs = nullptr;               // [.., hidden], row i at outputs + i * hidden: fill row place[p] for all p
};

// Since the start, of this rank. Seconds are wall time; bytes count payload to other ranks, both ways' sends.
struct ExchangeTotals {
  double seconds = 0;
  std::uint64_t rows_sent = 0;          // row copies sent to other ranks by dispatch
  std::uint64_t rows_deduplicated = 0;  // copies saved because several picks of a row live on one other rank
  std::uint64_t intra_node_bytes = 0;
  std::uint64_t inter_node_bytes = 0;
};

class Exchange {
 public:
  static constexpr int channels = 2;

  // picks: top-k of the model. node_of_domain_rank: [domain size], which node a rank lives on.
  Exchange(cpu::Stream& stream, Comm domain, const model::Placement& placement, std::uint32_t hidden,
           std::uint32_t picks, std::span<const int> node_of_domain_rank);
  ~Exchange();

  // rows: [count, hidden], picks: [count, picks], different experts within a row. Both must stay as they are until
  // send_combine of this channel (a domain of one rank computes on them in place).
  void send_dispatch(int channel, const bf16* rows, std::size_t stride, std::uint32_t count,
                     std::span<const GlobalExpert> picks);
  ReceivedRows receive_dispatch(int channel);
  // Sends ReceivedRows::outputs home.
  void send_combine(int channel);
  // out[r] += sum over picks, in pick order, of weights[r, p] * output of pick p. weights: [count, picks].
  void receive_combine(int channel, std::span<const float> weights, float* out, std::size_t out_stride);

  // Lets rows in flight move; called between pieces of work. Never waits.
  void progress();

  const ExchangeTotals& totals() const;
  std::uint64_t workspace_bytes() const;

 private:
  enum class Phase;
  struct Channel;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moemill::layers
