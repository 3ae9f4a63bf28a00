// attempts.jsonl: when each attempt at a run began and why it ended, a line each. An attempt without an end was killed.
// Rank 0 writes it; a rank that fails in the middle of a step, where no agreeing is possible, writes its own end.
#pragma once

#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dataset/run_dir.hpp"

namespace moemill::dataset {

struct AttemptBegin {
  std::uint32_t attempt = 0;  // from 1
  int ranks = 0;
  int nodes = 0;
  std::vector<std::string> hosts;  // each once
  std::string slurm_job_id;        // "" without
  std::uint64_t rows_before = 0;
};

struct AttemptEnd {
  std::uint32_t attempt = 0;
  int exit_code = 0;
  std::string reason;  // of people: what stopped it, or the fault
  int rank = 0;        // whose fault it was
};

// The attempt was killed; the one after it says so.
struct AttemptKilled {
  std::uint32_t attempt = 0;
  std::time_t last_sign_of_life = 0;
};

// Durable when they return. SystemError when the file cannot be written.
void record(const RunPaths& paths, const AttemptBegin& begin);
void record(const RunPaths& paths, const AttemptEnd& end);
void record(const RunPaths& paths, const AttemptKilled& killed);
// The first end that was written of that attempt; later ones are its consequences. Lines that are no JSON are passed
// over.
std::optional<AttemptEnd> read_end(const RunPaths& paths, std::uint32_t attempt);
// Whole seconds from each attempt's begin to its end or last sign of life, where both are known.
std::map<std::uint32_t, double> attempt_seconds(const RunPaths& paths);

}  // namespace moemill::dataset
