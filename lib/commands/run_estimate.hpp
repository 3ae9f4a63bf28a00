// How long a run will take on machines like this one, from a calibration and the lengths of the run's prompts. Used by
// `moemill plan --calibration` and by validate.
#pragma once

#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "generate/prepare.hpp"
#include "plan/fit.hpp"
#include "plan/forecast/answer_lengths.hpp"
#include "plan/forecast/forecast.hpp"

namespace moemill::mill {

struct RunEstimate {
  PartSeconds parts;
  double steps = 0, answers = 0, prompts = 0;
  double prompt_tokens = 0, answer_tokens = 0;
  bool sampled = false;
  std::uint32_t ranks = 1, nodes = 1, threads_per_rank = 1;
  std::string source;
  std::vector<std::string> warnings;
};

// Adds a prompt that has no fault; each sample gets a length of `answers`.
void add_prompt(WorkLengths& work, const PreparedPrompt& prompt, const AnswerLengths& answers);

// `file` is the calibration; `threads_per_rank` must be set in the question. UserError for a file that is none, and for
// prompts that do not fit into the KV cache.
RunEstimate estimate_run(const std::string& file, const RunConfig& config, const FitQuestion& question, const Fit& fit,
                         const WorkLengths& work);

// Begins with "2 prompts, 16 answers (30 + 80 tokens): 4m05s on 2 ranks", and ends without a line break.
std::string headline(const RunEstimate& estimate);
// Parts, tokens per second, and cost with a price: further lines.
std::string details(const RunEstimate& estimate, const CostSettings& cost);

}  // namespace moemill::mill
