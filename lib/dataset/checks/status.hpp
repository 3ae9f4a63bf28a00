// The state of a run directory, for `moemill status`. Read-only and without a lock, also while a job works on the run.
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
  // Completions on disk, in finished shards and journals; the last seconds of a running job are not there yet.
  std::uint64_t rows_ok = 0;
  std::uint64_t rows_failed = 0;
  std::uint64_t rows_pending = 0;
  std::uint64_t prompts_done = 0;    // prompts with all rows done
  std::uint64_t prompts_failed = 0;  // prompts with a failed row
  std::map<std::string, std::uint64_t> failed_by_code;
  std::uint32_t shards_finished = 0;
  std::optional<std::string> running;     // the holder of the lock
  bool merged = false;                    // outputs.h5 has all rows that the run is to have
  bool kept_before = false;               // there is an outputs-before.h5 instead
  std::optional<int> exit_code;           // of the last attempt; nothing while it runs, or when it was killed
  std::optional<AttemptRecord> attempt;   // ranks and threads of the last attempt, if attempts.jsonl has them
  std::string end_reason;                 // why the last attempt ended, "" when it was killed
  std::uint32_t tries_without_a_row = 0;  // see attempts.hpp; 0 while a job works
  std::string last_metrics;               // last whole line of metrics.jsonl, "" if there is none
  std::string summary;                    // text of summary.json, "" if there is none
};

// UserError when `dir` holds no run. `counter` may come from earlier calls, which makes this one faster.
RunStatus read_status(const std::string& dir, const SampleCounts& samples, RunCounter& counter);

}  // namespace moemill::dataset
