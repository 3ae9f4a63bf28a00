// The size of a job, estimated from its prompts before any of them is tokenised, and the lots that its ranks are dealt.
// Used by run_job.
#pragma once

#include <cstdint>
#include <span>

#include "base/ids.hpp"
#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "plan/job_size.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// Each rank looks at some of the prompts of the unfinished shards and at what their journals have of them, and all get
// the result; collective.
JobEstimate estimate_job(const Comm& world, const dataset::PromptFile& prompts, const dataset::RunPaths& paths,
                         const dataset::RunManifest& manifest, std::span<const ShardId> unfinished,
                         const SamplingParams& defaults, std::uint32_t max_model_len);

}  // namespace moemill::mill
