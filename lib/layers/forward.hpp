// The model on one rank: a step's rows in, the wanted rows' logits out. Collective: every rank of the expert domain
// calls run() the same number of times, with zero rows where it has none.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/stream.hpp"
#include "model/config.hpp"
#include "model/placement.hpp"
#include "schedule/step.hpp"
#include "system/comm/comm.hpp"
#include "weights/weights.hpp"

namespace moemill::layers {

struct Trace;

struct ForwardSettings {
  std::uint32_t max_rows = 2048;    // of one step
  std::uint32_t max_positions = 0;  // longest sequence
  std::uint32_t pages = 0;          // KV pages of this rank, schedule::page_tokens each: of PageGroup::Full
  std::uint32_t window_pages = 0;   // of PageGroup::Window
  std::uint32_t micro_batches = 1;  // 1, or 2: one computes while the other's rows travel
  Trace* trace = nullptr;           // tests only: inner states of the last run(), see layers/trace.hpp
};

// Since the start, of this rank. Seconds are wall time.
struct ForwardTotals {
  double attention_seconds = 0;  // projections, cache and attention of all layers
  double mlp_seconds = 0;        // routers, dense, shared and routed experts
  double exchange_seconds = 0;   // packing, sending, waiting for rows, unpacking
  double head_seconds = 0;
  std::uint64_t rows_sent = 0;          // row copies sent to other ranks by dispatch
  std::uint64_t rows_deduplicated = 0;  // copies saved because several picks of a row live on one rank
  std::uint64_t intra_node_bytes = 0;   // dispatch and combine payload to other ranks of the node
  std::uint64_t inter_node_bytes = 0;
};

class Forward {
 public:
  // `domain` is the expert domain; node_of_domain_rank[r] tells which node a rank of the domain lives on.
  Forward(cpu::Stream& stream, const model::ModelConfig& config, const model::Weights& weights, Comm domain,
          std::span<const int> node_of_domain_rank, const ForwardSettings& settings);
  ~Forward();

  // All layers over the step's rows. Afterwards the final-norm rows of step.logit_rows wait for logits().
  void run(const schedule::Step& step);
  // Logits of wanted rows [first, first + count) of the last step: [count, logits_stride()], first `vocabulary` of each
  // row are valid. Valid until the next call. Callers take about 128 rows at a time, so that a long prompt's logits
  // never exist at once.
  const float* logits(std::size_t first, std::size_t count);
  std::size_t logits_stride() const;

  const ForwardTotals& totals() const;
  // Tokens routed to each expert so far by this rank's own rows: [moe layers][experts].
  std::span<const std::uint64_t> expert_counts() const;
  std::uint64_t kv_bytes() const;  // of all pages
  std::uint64_t workspace_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Bytes of one KV page (page_tokens tokens) over all layers of the group.
std::uint64_t page_bytes(const model::ModelConfig& config, schedule::PageGroup group);

}  // namespace moemill::layers
