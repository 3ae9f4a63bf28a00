// The size of a job, estimated from its prompts before the first step, and the lots that its ranks are dealt.
// Used by run_job.
#pragma once

#include <cstdint>
#include <span>

#include "base/ids.hpp"
#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "generate/prepare.hpp"
#include "plan/job_size.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// The prompts, and how they become tokens.
struct PromptSource {
  const dataset::PromptFile& prompts;
  const SamplingParams& defaults;
  const text::Tokenizer* tokenizer;  // null: token ids only
  PrepareRules rules;
  bool shares_prefixes = false;  // prompts that begin alike are found, and dealt together
};

// Each rank looks at some of the prompts of the unfinished shards and at what their journals have of them, and all get
// the result; collective. To find prompts that begin alike, all of them are tokenised.
JobEstimate estimate_job(const Comm& world, const PromptSource& source, const dataset::RunPaths& paths,
                         const dataset::RunManifest& manifest, std::span<const ShardId> unfinished);

}  // namespace moemill::mill
