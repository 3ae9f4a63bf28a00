// What a rank has done so far, and the same summed over ranks and attempts. `all_counts` and `all_seconds` list every
// counter once: progress lines, metrics.jsonl, the summary and the sums go through them.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <vector>

#include "layers/forward_settings.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// All members are plain numbers, because ranks exchange them as bytes.
struct Totals {
  std::uint64_t prompts_done = 0;          // prompts whose last sample ended in this attempt, none of them failed
  std::uint64_t prompts_failed = 0;        // the same with a failed sample
  std::uint64_t completions = 0;           // rows that ended in this attempt
  std::uint64_t rows_failed = 0;           // how many of these failed
  std::uint64_t prompt_tokens = 0;         // computed
  std::uint64_t cached_prompt_tokens = 0;  // not computed: the next, and those of a prompt's later samples
  std::uint64_t prefix_hit_tokens = 0;     // not computed, because a prompt that begins alike was computed before
  std::uint64_t prefix_shared_tokens = 0;  // the same by the plan of the run, had no rank to repeat any
  std::uint64_t generated_tokens = 0;
  std::uint64_t replayed_tokens = 0;     // computed again, because their sample was put back for lack of memory
  std::uint64_t decode_step_tokens = 0;  // generated in steps without prompt rows
  double prefill_seconds = 0;            // steps with prompt rows on any rank
  double decode_seconds = 0;             // steps without prompt rows
  double exchange_seconds = 0;           // the next two
  double pack_seconds = 0;               // listing rows, packing and sending them
  double wait_seconds = 0;               // waiting for other ranks within a step, with nothing else to do
  double idle_seconds = 0;               // without rows of its own, or waiting for the facts of its domain
  double tail_seconds = 0;               // with places for sequences free and nothing left to fill them with
  double tail_sequence_seconds = 0;      // these, times the sequences that ran
  double tail_place_seconds = 0;         // these, times the sequences that could have run
  std::uint64_t step_rows = 0;           // of all steps
  std::uint64_t busiest_rows = 0;        // the same of the domain's rank with most rows in each
  std::uint64_t intra_node_bytes = 0;
  std::uint64_t inter_node_bytes = 0;
  std::uint64_t inter_node_bytes_minimum = 0;
  std::uint64_t messages = 0;
  std::uint64_t rows_sent = 0;
  std::uint64_t rows_deduplicated = 0;
  std::uint64_t steps_with_one = 0;  // steps by their micro-batches, of all expert domains
  std::uint64_t steps_with_two = 0;
  // layers::ExchangeTotals has them.
  std::uint64_t rows_routed = 0;
  std::uint64_t row_nodes = 0;
  std::uint64_t expert_work = 0;
  std::uint64_t busiest_work = 0;
  std::uint64_t busiest_owner_work = 0;
  std::uint64_t peak_rss_bytes = 0;
  std::uint64_t running = 0;  // sequences

  void take(const layers::ForwardTotals& forward);
  Totals& operator+=(const Totals& other);
  // Adds the counts of an earlier attempt. Memory is the larger of the two, because the earlier attempt has freed its
  // own.
  void add_attempt(const Totals& earlier);
};

// The subject of a count, which decides where it is shown.
enum class CountOf {
  Rows,      // shown as the sum with earlier attempts
  Now,       // every line of metrics.jsonl; means nothing once the attempt is over
  Tokens,    // every line of metrics.jsonl and the summary, with rates
  Prefix,    // every line of metrics.jsonl; the summary has them, and their difference
  Balance,   // every line of metrics.jsonl; the summary has them or ratios of them
  Exchange,  // every line of metrics.jsonl and the summary, without rates
  Steps,     // the same
  Parts,     // every line of metrics.jsonl; the summary has ratios of them
  Memory     // the last line of an attempt and the summary
};

// Counts add up over ranks; `name` is the key in metrics.jsonl and summary.json.
struct Count {
  const char* name;
  std::uint64_t Totals::*member;
  CountOf of;
};
inline constexpr Count all_counts[] = {
    {"completions", &Totals::completions, CountOf::Rows},
    {"rows_failed", &Totals::rows_failed, CountOf::Rows},
    {"prompts_done", &Totals::prompts_done, CountOf::Rows},
    {"prompts_failed", &Totals::prompts_failed, CountOf::Rows},
    {"running", &Totals::running, CountOf::Now},
    {"prompt_tokens", &Totals::prompt_tokens, CountOf::Tokens},
    {"cached_prompt_tokens", &Totals::cached_prompt_tokens, CountOf::Tokens},
    {"generated_tokens", &Totals::generated_tokens, CountOf::Tokens},
    {"decode_step_tokens", &Totals::decode_step_tokens, CountOf::Tokens},
    {"prefix_shared_tokens", &Totals::prefix_shared_tokens, CountOf::Prefix},
    {"prefix_hit_tokens", &Totals::prefix_hit_tokens, CountOf::Prefix},
    {"replayed_tokens", &Totals::replayed_tokens, CountOf::Balance},
    {"step_rows", &Totals::step_rows, CountOf::Balance},
    {"busiest_rows", &Totals::busiest_rows, CountOf::Balance},
    {"intra_node_bytes", &Totals::intra_node_bytes, CountOf::Exchange},
    {"inter_node_bytes", &Totals::inter_node_bytes, CountOf::Exchange},
    {"rows_sent", &Totals::rows_sent, CountOf::Exchange},
    {"rows_deduplicated", &Totals::rows_deduplicated, CountOf::Exchange},
    {"inter_node_bytes_minimum", &Totals::inter_node_bytes_minimum, CountOf::Exchange},
    {"messages", &Totals::messages, CountOf::Exchange},
    {"rows_routed", &Totals::rows_routed, CountOf::Parts},
    {"row_nodes", &Totals::row_nodes, CountOf::Parts},
    {"expert_work", &Totals::expert_work, CountOf::Parts},
    {"busiest_work", &Totals::busiest_work, CountOf::Parts},
    {"busiest_owner_work", &Totals::busiest_owner_work, CountOf::Parts},
    {"steps_with_one", &Totals::steps_with_one, CountOf::Steps},
    {"steps_with_two", &Totals::steps_with_two, CountOf::Steps},
    {"peak_rss_bytes", &Totals::peak_rss_bytes, CountOf::Memory},
};

// Seconds are averaged over ranks, because all ranks run for the same wall time. All of them are shown in every line of
// metrics.jsonl and in the summary, there at the top, with the exchange, or as a ratio of them.
enum class SecondsOf { Run, Exchange, Balance };
struct Seconds {
  const char* name;
  double Totals::*member;
  SecondsOf of = SecondsOf::Run;
};
inline constexpr Seconds all_seconds[] = {
    {"prefill_seconds", &Totals::prefill_seconds},
    {"decode_seconds", &Totals::decode_seconds},
    {"exchange_seconds", &Totals::exchange_seconds},
    {"idle_seconds", &Totals::idle_seconds},
    {"wait_seconds", &Totals::wait_seconds, SecondsOf::Exchange},
    {"pack_seconds", &Totals::pack_seconds, SecondsOf::Exchange},
    {"tail_seconds", &Totals::tail_seconds, SecondsOf::Balance},
    {"tail_sequence_seconds", &Totals::tail_sequence_seconds, SecondsOf::Balance},
    {"tail_place_seconds", &Totals::tail_place_seconds, SecondsOf::Balance},
};

void put(nlohmann::ordered_json& json, const Totals& totals, CountOf of);
void put_seconds(nlohmann::ordered_json& json, const Totals& totals, SecondsOf of);
// A ratio of two sums over ranks; `nothing` where there was nothing to count.
double ratio(std::uint64_t sum, std::uint64_t over, double nothing);
// The counts and seconds of an attempt, from a line of metrics.jsonl. Counts of rows are left out: there they include
// earlier attempts.
Totals totals_in(const nlohmann::json& metrics_line);

// Whether all ranks exchange the count at each step, for progress lines.
constexpr bool is_sent_each_step(const Count& count) {
  return count.of == CountOf::Rows || count.of == CountOf::Tokens;
}
constexpr std::size_t counts_each_step = [] {
  std::size_t sent = 0;
  for (const Count& count : all_counts) sent += is_sent_each_step(count) ? 1 : 0;
  return sent;
}();
using StepCounts = std::array<std::uint64_t, counts_each_step>;
StepCounts step_counts(const Totals& totals);
// This rank's totals with the counts of all ranks in their place.
Totals with_step_counts(Totals totals, std::span<const StepCounts> ranks);

// The totals over all ranks; collective.
Totals sum_over_ranks(const Comm& world, const Totals& mine);

// The busiest expert's count over the mean count, averaged over the MoE layers. `counts` [MoE layers, experts] covers
// all ranks.
double max_over_mean(std::span<const std::uint64_t> counts, std::size_t experts);
// That ratio and those of the nodes of a domain: the picks that the busiest computes for each of its ranks over the
// mean of all ranks, averaged over layers, if experts lay in slices and as they do lie. `tokens` is their weight among
// the attempts.
struct ExpertLoad {
  double max_over_mean = 1;
  std::uint64_t tokens = 0;
  double nodes_in_slices = 1, nodes = 1;
  ExpertLoad& operator+=(const ExpertLoad& other);
};

}  // namespace moemill::mill
