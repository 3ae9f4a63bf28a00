// summary.json and the ledger: what the run did and what it cost. Rank 0 writes them whenever a job ends cleanly.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/run_config.hpp"
#include "dataset/run_dir/attempts.hpp"
#include "generate/memory_use.hpp"
#include "generate/row_seconds.hpp"
#include "mill/predicted.hpp"
#include "mill/totals.hpp"

namespace moemill::mill {

// The ranks, nodes and cores that all attempts of the run have held, each times the seconds that it was held.
struct Held {
  double rank_seconds = 0;
  double node_seconds = 0;
  double core_seconds_allocated = 0;
  double core_seconds_used = 0;

  void add(double seconds, int ranks, int nodes, const dataset::AttemptCores& cores);
};

struct Cost {
  double unit_hours = 0;  // hours of cost.unit that the run has held
  double total = 0;
  double per_million_tokens = 0;         // prompt tokens that were computed, and generated tokens
  double per_million_output_tokens = 0;  // generated tokens only
};

struct Summary {
  Totals totals;  // all ranks and attempts, as far as metrics.jsonl has them
  std::uint64_t prompts_total = 0;
  std::uint64_t prompts_done = 0;
  std::uint64_t prompts_failed = 0;
  std::map<std::string, std::uint64_t> failed_by_code;  // rows
  std::uint64_t double_bos_prompts = 0;                 // double_bos.hpp
  std::uint64_t completions = 0;                        // finished rows of all attempts
  double wall_seconds = 0;                              // all attempts, start-up and merge included
  double load_seconds = 0;                              // the part of wall_seconds before the first step
  int ranks = 1;
  int nodes = 1;
  dataset::AttemptCores cores;  // of this attempt
  Held held;                    // of all attempts
  std::uint32_t attempts = 1;
  std::uint64_t resumed_rows = 0;  // finished by earlier attempts
  std::uint64_t kv_bytes_per_token = 0;
  MemoryUse memory;  // of the last attempt, without its peak
  ExpertLoad expert_load;
  RowSeconds row_seconds;              // rows of the attempts that ended cleanly
  std::optional<Predicted> predicted;  // of the attempts that had a calibration
  int exit_code = 0;
};

// "core" for auto: this backend computes on CPUs.
const std::string& cost_unit(const CostSettings& settings);
// The unit decides what each hour is multiplied by: gpu and rank by ranks, node by nodes, core by allocated cores, job
// by one.
Cost cost_of(const Summary& summary, const CostSettings& settings);

std::string to_json(const Summary& summary, const CostSettings& settings);
// One line for people: tokens, rate, and cost if a price is set.
std::string ledger_line(const Summary& summary, const CostSettings& settings);

}  // namespace moemill::mill
