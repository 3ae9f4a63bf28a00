// How many rows and prompts of a run are on disk: for its end, its exit code and `moemill status`. Read-only, without a
// lock, while a job works on it or after.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dataset/run_dir/run_dir.hpp"

namespace moemill::dataset {

// Rows that have ended are done or failed; a prompt is done when all its rows are done.
struct RunCounts {
  std::uint64_t rows = 0;  // done and failed
  std::uint64_t rows_failed = 0;
  std::uint64_t prompts_done = 0;
  std::uint64_t prompts_failed = 0;                     // with a failed sample
  std::map<std::string, std::uint64_t> failed_by_code;  // of the rows, as far as their files could be asked
};

// The n of each prompt of a range, or empty when that cannot be known: then no prompt of the range is done until its
// shard is.
using SampleCounts = std::function<std::vector<std::uint32_t>(ShardRange)>;

// Counts a run, maybe again and again. A finished file is opened once: as long as another look finds the same one
// there, its numbers stand.
class RunCounter {
 public:
  // Codes are texts, which are not read from a file before its seal is looked at: its bytes are read once for that, if
  // it has failed rows and is not larger than this.
  explicit RunCounter(std::uint64_t most_file_bytes = ~std::uint64_t{0}) : most_file_bytes_(most_file_bytes) {}
  // Of outputs.h5 where it is there, else of finished shards and journals.
  RunCounts count(const RunPaths& paths, const RunManifest& manifest, const SampleCounts& samples);

 private:
  RunCounts count_file(const std::string& path);

  std::uint64_t most_file_bytes_;
  std::map<std::string, std::pair<files::Stamp, RunCounts>> seen_;  // by path
};

}  // namespace moemill::dataset
