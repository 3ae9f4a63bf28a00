// What a run directory says about itself, read-only and without a lock, while a job works on it or after: for
// `moemill status`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "dataset/run_dir/attempts.hpp"
#include "dataset/run_dir/counts.hpp"
#include "dataset/run_dir/run_dir.hpp"

namespace moemill::dataset {

struct RunStatus {
  RunManifest manifest;
  // Completions by what lies on disk: finished shards and journals (a running job's last seconds are not there yet).
  std::uint64_t rows_ok = 0;
  std::uint64_t rows_failed = 0;
  std::uint64_t rows_pending = 0;
  std::uint64_t prompts_done = 0;    // all rows done
  std::uint64_t prompts_failed = 0;  // with a failed row
  std::map<std::string, std::uint64_t> failed_by_code;
  std::uint32_t shards_finished = 0;
  std::optional<std::string> running;     // who holds the lock
  bool merged = false;                    // outputs.h5 is there, with all rows that the run is to have
  bool kept_before = false;               // outputs-before.h5 is there instead
  std::optional<int> exit_code;           // of the last attempt; empty while it runs, or when it was killed
  std::optional<AttemptRecord> attempt;   // the last one's ranks and threads, where attempts.jsonl has them
  std::string end_reason;                 // why it ended, "" when it was killed
  std::uint32_t tries_without_a_row = 0;  // the last attempts, see attempts.hpp; 0 while a job works
  std::string last_metrics;               // last whole line of metrics.jsonl, "" when none
  std::string summary;                    // text of summary.json, "" when none
};

// UserError when `dir` holds no run. `counter`: of the looks before, if there were any.
RunStatus read_status(const std::string& dir, const SampleCounts& samples, RunCounter& counter);

}  // namespace moemill::dataset
