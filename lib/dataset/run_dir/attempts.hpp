// attempts.jsonl: when each attempt at a run began and why it ended, one line each. An attempt without an end was
// killed. Rank 0 writes it. A rank that fails in the middle of a step, where ranks cannot agree, writes its own end.
#pragma once

#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dataset/run_dir/run_dir.hpp"

namespace moemill::dataset {

struct AttemptCores {
  std::uint64_t threads = 1;    // of all ranks
  std::uint64_t allocated = 1;  // cores that the job held
  std::uint64_t used = 1;       // cores with a thread on them
};

struct AttemptBegin {
  std::uint32_t attempt = 0;  // from 1
  int ranks = 0;
  int nodes = 0;
  std::vector<std::string> hosts;  // each once
  std::string slurm_job_id;        // "" outside Slurm
  std::uint64_t rows_before = 0;
  AttemptCores cores = {};
};

struct AttemptEnd {
  std::uint32_t attempt = 0;
  int exit_code = 0;
  std::string reason;  // human-readable: why it stopped, or the error
  int rank = 0;        // the rank that failed
  double seconds = 0;  // since the program started, by a steady clock
  AttemptCores cores = {};
};

// The attempt was killed; the next attempt records it.
struct AttemptKilled {
  std::uint32_t attempt = 0;
  std::time_t last_sign_of_life = 0;   // last heartbeat, by the file system's clock
  std::optional<double> seconds = {};  // from its begin to that heartbeat, by its own steady clock
};

// Durable when they return. SystemError when the file cannot be written.
void record(const RunPaths& paths, const AttemptBegin& begin);
void record(const RunPaths& paths, const AttemptEnd& end);
void record(const RunPaths& paths, const AttemptKilled& killed);
// The first end that was written for the attempt; later ends are its consequences. Skips lines that are not JSON.
std::optional<AttemptEnd> read_end(const RunPaths& paths, std::uint32_t attempt);
// An attempt as the lines of the file describe it.
struct AttemptRecord {
  std::optional<double> seconds;  // to its end or last heartbeat; nothing if neither is known
  int ranks = 1;
  int nodes = 1;
  AttemptCores cores;
};
std::map<std::uint32_t, AttemptRecord> attempt_records(const RunPaths& paths);
// How many attempts at the end of the file were begun by the same Slurm job, or outside Slurm, did not end cleanly and
// added no row to the `rows` that exist: another attempt would not help.
std::uint32_t tries_without_a_row(const RunPaths& paths, std::uint64_t rows);

}  // namespace moemill::dataset
