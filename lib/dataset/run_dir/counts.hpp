// Counts the rows and prompts of a run that are on disk, for the job's closing report, its exit code and `moemill
// status`. Reads files only and takes no lock, so it works while a job runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
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
  std::map<std::string, std::uint64_t> failed_by_code;  // rows, as far as the codes could be read
};
struct RunCountField {
  const char* name;
  std::uint64_t RunCounts::*member;
};
inline constexpr RunCountField run_count_fields[] = {{"rows", &RunCounts::rows},
                                                     {"rows_failed", &RunCounts::rows_failed},
                                                     {"prompts_done", &RunCounts::prompts_done},
                                                     {"prompts_failed", &RunCounts::prompts_failed}};
// Used to send the counts to all ranks.
void to_json(nlohmann::ordered_json& json, const RunCounts& counts);
void from_json(const nlohmann::ordered_json& json, RunCounts& counts);

// The n of each prompt of a range, or empty when that cannot be known: then no prompt of the range counts as done until
// its shard is finished.
using SampleCounts = std::function<std::vector<std::uint32_t>(ShardRange)>;

// Counts a run, also repeatedly: a finished file is opened again only when another one has taken its place.
class RunCounter {
 public:
  // Error codes are texts, which are read only from a file whose seal is whole. To check the seal a file is read once,
  // if it has failed rows and is not larger than `most_file_bytes`.
  explicit RunCounter(std::uint64_t most_file_bytes = ~std::uint64_t{0}) : most_file_bytes_(most_file_bytes) {}
  // Counts outputs.h5 if it exists, else finished shards and journals.
  RunCounts count(const RunPaths& paths, const RunManifest& manifest, const SampleCounts& samples);

 private:
  RunCounts count_file(const std::string& path);

  std::uint64_t most_file_bytes_;
  std::map<std::string, std::pair<files::Stamp, RunCounts>> seen_;  // by path
};

}  // namespace moemill::dataset
