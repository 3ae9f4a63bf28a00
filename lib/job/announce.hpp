// The lines of the log that say what an attempt is about to do, on what. Used by run_job, on rank 0.
#pragma once

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "generate/engine.hpp"
#include "generate/model_folder.hpp"
#include "job/run_setup.hpp"
#include "plan/job_size.hpp"
#include "plan/ranks.hpp"

namespace moemill::mill {

void announce(const RunPlan& plan, const RunConfig& config, const ModelFolder& model,
              const dataset::PromptFile& prompts, const Ranks& ranks, const Engine& engine);

// On rank 0: how many prompts begin alike, and what need not be computed for it; nothing if none do.
void log_prefixes(const Comm& world, const JobEstimate& job);

}  // namespace moemill::mill
