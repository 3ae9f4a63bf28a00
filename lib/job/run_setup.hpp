// The run directory at the start of an attempt: created, or found and checked for resume. Rank 0 reads and writes it
// and sends plain data to all ranks. Used by run_job.
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
  std::uint64_t prompts = 0;     // in the input
  Arithmetic arithmetic = Arithmetic::Bf16;
  ExpertSum expert_sum = ExpertSum::Picks;
};

// Reads all prompts and all weights.
Fingerprints fingerprints_of(const RunConfig& config, const ModelFolder& model, const dataset::PromptFile& prompts);

// The attempt as all ranks see it.
struct RunPlan {
  dataset::RunPaths paths;
  dataset::RunManifest manifest;
  std::vector<ShardId> unfinished;  // ascending
  dataset::RunCounts before;        // rows of earlier attempts, in shards and journals
};

// The run to resume, or nothing if there is none or --overwrite will remove it. UserError if there is a run and resume
// is `never`, or if there is none and resume is `always`.
std::optional<dataset::RunManifest> find_run(const RunRequest& request);
// Which columns of the input have changed since the run began: "columns prompt, topic", or "". Manifests of early
// versions have only the SHA-256 of the whole file; the file is then compared with that.
std::string changed_columns(const dataset::RunManifest& manifest, const dataset::InputContents& now,
                            const std::string& input_path);
// How the run's answers sum experts' outputs: a run begun before there was a choice sums picks.
ExpertSum expert_sum_of_run(const dataset::RunManifest& manifest);
// The same of the run that the request resumes; nothing if there is none.
std::optional<ExpertSum> expert_sum_there(const RunRequest& request);
// The same on all ranks; collective.
std::optional<ExpertSum> agree_on_expert_sum(const Comm& world, const RunRequest& request);
// How the run's definition of the arithmetic differs from all that this program has (base/arithmetic.hpp), or "".
std::string differing_arithmetic(const dataset::RunManifest& manifest);
// UserError, with what differs, if the answers would change: existing and new rows must belong to one run. Keys that
// the request asks to change may differ.
void check_same_run(const dataset::RunPaths& paths, const dataset::RunManifest& manifest, const RunRequest& request,
                    const dataset::PromptFile& prompts, const Fingerprints& fingerprints);
// Called by rank 0 before the first row: all weights that were read must be those of the earlier attempts. The first
// attempt that gets this far stores their digest. UserError as above.
void check_same_weights(RunPlan& plan, const std::string& weights_digest);
// The digest's key in the manifest's fingerprints; absent before the first load, and with random weights. The number at
// the end increases when weights are read in different pieces (weights/plan_writer.cpp), because digests then are not
// comparable.
constexpr const char* weights_fingerprint = "weights_xxh3_1";
// Called by rank 0 once nothing can refuse the job any more: config.yaml then has the settings and paths of this job.
void keep_config(const RunPlan& plan, const RunConfig& config);
// The manifest of a new run. UserError for everything in prompts and settings that makes a run impossible.
dataset::RunManifest plan_new_run(const dataset::RunPaths& paths, const RunConfig& config, const ModelFolder& model,
                                  const dataset::PromptFile& prompts, const Fingerprints& fingerprints);
// UserError if a file that is not the run's own is in the way of a new run.
void check_nothing_in_the_way(const dataset::RunPaths& paths, const RunConfig& config);
// Whether outputs.h5 has all rows. UserError if it belongs to another run, or if it is missing and the shards were
// removed.
bool is_merged(const dataset::RunPaths& paths, const dataset::RunManifest& manifest);
// Called by rank 0, which holds the run's lock. UserError like the three functions above, before anything is removed or
// written. Makes the change that the request asks for (job/change.hpp).
RunPlan open_run(const RunRequest& request, const ModelFolder& model, const dataset::PromptFile& prompts,
                 const Fingerprints& fingerprints, dataset::RunCounter& counter);
// The n of the run's prompts, for counting its rows. Both arguments must outlive the result.
dataset::SampleCounts sample_counts(const RunConfig& config, const dataset::PromptFile& prompts);
// Sends rank 0's plan to all ranks; collective.
RunPlan share(const Comm& world, const RunPlan& plan);

}  // namespace moemill::mill
