// The run directory at the start of an attempt: made, or found and checked for resume. Rank 0 looks and writes; the
// others are told in plain data. Used by run_job.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts.hpp"
#include "dataset/run_dir.hpp"
#include "system/comm.hpp"

namespace moemill::mill {

enum class Resume { Auto, Always, Never };
enum class Existing { Keep, Overwrite };
enum class FailedRows { Keep, Retry };

struct RunRequest {
  RunConfig config;
  Resume resume = Resume::Auto;
  Existing existing = Existing::Keep;
  FailedRows failed_rows = FailedRows::Keep;
};

struct Fingerprints {
  std::string input, model, tokenizer;  // SHA-256, hex
};

// What all ranks know about the attempt.
struct RunPlan {
  dataset::RunPaths paths;
  dataset::RunManifest manifest;
  std::vector<ShardId> unfinished;  // ascending
  std::uint64_t rows_before = 0;    // finished rows of earlier attempts: shards and journals
};

// Rank 0, holding the run's lock. UserError when resume is refused (the differing keys are named), when there is a run
// and resume is `never`, or none and it is `always`.
RunPlan open_run(const RunRequest& request, const dataset::PromptFile& prompts, const Fingerprints& fingerprints);
// Rank 0's plan to everyone; collective.
RunPlan share(const Comm& world, const RunPlan& plan);

}  // namespace moemill::mill
