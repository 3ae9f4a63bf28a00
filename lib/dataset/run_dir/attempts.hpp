// attempts.jsonl: when each attempt at a run began and why it ended, a line each. An attempt without an end was killed.
// Rank 0 writes it; a rank that fails in the middle of a step, where no agreeing is possible, writes its own end.
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
  std::uint64_t threads = 1;    // all ranks
  std::uint64_t allocated = 1;  // cores that the job held
  std::uint64_t used = 1;       // of them, with a thread on each
};

struct AttemptBegin {
  std::uint32_t attempt = 0;  // from 1
  int ranks = 0;
  int nodes = 0;
  std::vector<std::string> hosts;  // each once
  std::string slurm_job_id;        // "" without
  std::uint64_t rows_before = 0;
  AttemptCores cores = {};
};

struct AttemptEnd {
  std::uint32_t attempt = 0;
  int exit_code = 0;
  std::string reason;  // of people: what stopped it, or the fault
  int rank = 0;        // whose fault it was
  double seconds = 0;  // since the program started, by a clock that nobody sets
  AttemptCores cores = {};
};

// The attempt was killed; the one after it says so.
struct AttemptKilled {
  std::uint32_t attempt = 0;
  std::time_t last_sign_of_life = 0;   // by the file system's clock
  std::optional<double> seconds = {};  // from its begin, by its own steady clock
};

// Durable when they return. SystemError when the file cannot be written.
void record(const RunPaths& paths, const AttemptBegin& begin);
void record(const RunPaths& paths, const AttemptEnd& end);
void record(const RunPaths& paths, const AttemptKilled& killed);
// The first end that was written of that attempt; later ones are its consequences. Lines that are no JSON are passed
// over.
std::optional<AttemptEnd> read_end(const RunPaths& paths, std::uint32_t attempt);
// What the lines say of each attempt that has any.
struct AttemptRecord {
  std::optional<double> seconds;  // to its end or last sign of life; nothing where neither is known
  int ranks = 1;
  int nodes = 1;
  AttemptCores cores;
};
std::map<std::uint32_t, AttemptRecord> attempt_records(const RunPaths& paths);
// Attempts at the end of the file that one job (of Slurm, or none) began, that did not end in order, and since the
// first of which no row has come to the `rows` that there are: trying once more does not help them.
std::uint32_t tries_without_a_row(const RunPaths& paths, std::uint64_t rows);

}  // namespace moemill::dataset
