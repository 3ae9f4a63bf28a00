// The run directory at the start of an attempt: made, or found and checked for resume. Rank 0 looks and writes; the
// others are told in plain data. Used by run_job.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/counts.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "generate/model_folder.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

enum class Resume { Auto, Always, Never };
enum class Existing { Keep, Overwrite };
enum class FailedRows { Keep, Retry };
enum class Growth { Forbidden, Allowed };

struct RunRequest {
  RunConfig config;
  Resume resume = Resume::Auto;
  Existing existing = Existing::Keep;
  FailedRows failed_rows = FailedRows::Keep;
  Growth growth = Growth::Forbidden;
};

struct Fingerprints {
  dataset::InputContents input;
  std::string model, tokenizer;  // SHA-256, hex
  std::uint64_t prompts = 0;     // how many the input has
};

// Reads the prompts and the weights as a whole.
Fingerprints fingerprints_of(const RunConfig& config, const ModelFolder& model, const dataset::PromptFile& prompts);

// What all ranks know about the attempt.
struct RunPlan {
  dataset::RunPaths paths;
  dataset::RunManifest manifest;
  std::vector<ShardId> unfinished;  // ascending
  dataset::RunCounts before;        // of what earlier attempts left: shards and journals
};

// The run to go on with: none where none is, or where --overwrite will remove it. UserError when there is a run and
// resume is `never`, or none and it is `always`.
std::optional<dataset::RunManifest> find_run(const RunRequest& request);
// Which columns of the input hold something else than when the run began: "prompt, topic", or "". Of a run whose
// manifest knows only the SHA-256 of the whole file, as those had that were made before moemill looked at columns, the
// file is held against that.
std::string changed_columns(const dataset::RunManifest& manifest, const dataset::InputContents& now,
                            const std::string& input_path);
// UserError naming what differs, when the answers would be others: what was written and what would follow must be one
// run. What the request asks to change may differ.
void check_same_run(const dataset::RunPaths& paths, const dataset::RunManifest& manifest, const RunRequest& request,
                    const dataset::PromptFile& prompts, const Fingerprints& fingerprints);
// Rank 0, before the first row: the weights that were read, all of them, must be those of the attempts before. The
// first attempt that comes so far keeps what they are. UserError as above.
void check_same_weights(RunPlan& plan, const std::string& weights_digest);
// What the manifest's fingerprints call it; absent before the first load, and with random weights. The number goes up
// when the pieces change in which weights are read (weights/loader.cpp): sums of another number say nothing.
constexpr const char* weights_fingerprint = "weights_xxh3_1";
// Rank 0, once nothing can refuse the job any more: config.yaml has the settings and paths of this one.
void keep_config(const RunPlan& plan, const RunConfig& config);
// The manifest of a new run. UserError for everything in prompts and settings that may refuse one.
dataset::RunManifest plan_new_run(const dataset::RunPaths& paths, const RunConfig& config, const ModelFolder& model,
                                  const dataset::PromptFile& prompts, const Fingerprints& fingerprints);
// UserError when a file of somebody else is in the way of a new run.
void check_nothing_in_the_way(const dataset::RunPaths& paths, const RunConfig& config);
// Whether outputs.h5 speaks for all rows, also where the shards were removed. UserError when it is of another run, or
// when it is not there and neither are the shards.
bool is_merged(const dataset::RunPaths& paths, const dataset::RunManifest& manifest);
// Rank 0, holding the run's lock. UserError as the three above; only then is anything removed or written. Makes the
// change that the request asks for (job/change.hpp).
RunPlan open_run(const RunRequest& request, const ModelFolder& model, const dataset::PromptFile& prompts,
                 const Fingerprints& fingerprints, dataset::RunCounter& counter);
// The n of the run's prompts, for counting its rows. Both must outlive it.
dataset::SampleCounts sample_counts(const RunConfig& config, const dataset::PromptFile& prompts);
// Rank 0's plan to everyone; collective.
RunPlan share(const Comm& world, const RunPlan& plan);

}  // namespace moemill::mill
