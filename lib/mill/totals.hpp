// What a rank has done so far, and the same summed over ranks: the numbers under progress lines, metrics.jsonl, the
// summary and the ledger.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layers/forward_settings.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// Plain numbers only: it is gathered as bytes.
struct Totals {
  std::uint64_t prompts_done = 0;          // whose last sample ended in this attempt, all of them done
  std::uint64_t prompts_failed = 0;        // or one of them failed
  std::uint64_t completions = 0;           // rows that ended in this attempt
  std::uint64_t rows_failed = 0;           // of them
  std::uint64_t prompt_tokens = 0;         // computed
  std::uint64_t cached_prompt_tokens = 0;  // not computed: an earlier sample of the prompt did
  std::uint64_t generated_tokens = 0;
  std::uint64_t decode_step_tokens = 0;  // generated in steps without prompt rows
  double prefill_seconds = 0;            // steps with prompt rows anywhere
  double decode_seconds = 0;             // other steps
  double exchange_seconds = 0;           // packing, sending and waiting for rows
  double idle_seconds = 0;               // steps in which this rank had no rows, and waiting for the others' facts
  std::uint64_t intra_node_bytes = 0;
  std::uint64_t inter_node_bytes = 0;
  std::uint64_t rows_sent = 0;
  std::uint64_t rows_deduplicated = 0;
  std::uint64_t peak_rss_bytes = 0;
  std::uint64_t running = 0;  // sequences

  void take(const layers::ForwardTotals& forward);
  Totals& operator+=(const Totals& other);
};

// Counts, bytes and memory add up; seconds are the mean over ranks (every rank lives through the same wall time).
Totals sum_over_ranks(const Comm& world, const Totals& mine);

// Busiest expert over the mean, the mean of that over the MoE layers; from counts [moe layers][experts] of all ranks.
double max_over_mean(std::span<const std::uint64_t> counts, std::size_t experts);
// That ratio and the tokens it was seen over, so that attempts weigh as much as they did.
struct ExpertLoad {
  double max_over_mean = 1;
  std::uint64_t tokens = 0;
  ExpertLoad& operator+=(const ExpertLoad& other);
};

}  // namespace moemill::mill
