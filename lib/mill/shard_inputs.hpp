// What a rank needs to read the prompts of its lots and to write the shards that it keeps; the same for the whole job.
#pragma once

#include "base/run_config.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "generate/prepare.hpp"
#include "schedule/prefix_plan.hpp"

namespace moemill::mill {

struct ShardInputs {
  const dataset::PromptFile& prompts;
  const dataset::RunPaths& paths;
  const dataset::RunManifest& manifest;
  const SamplingParams& defaults;
  const text::Tokenizer* tokenizer;
  PrepareRules rules;
  const schedule::PrefixPlan& prefixes;
};

}  // namespace moemill::mill
