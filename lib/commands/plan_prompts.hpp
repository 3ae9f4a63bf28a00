// The prompts of a run.yaml as a piece of work for `moemill plan`: read and tokenised as the run would do it.
#pragma once

#include <string>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "generate/model_folder.hpp"
#include "plan/answer/lengths.hpp"

namespace moemill::mill {

struct PromptWork {
  double prompts = 0;             // completions that do not fail: a prompt's samples count each
  estimate::Lengths input;        // of a prompt
  double cached_fraction = 0;     // of the completions' prompt tokens: shared with an earlier prompt or sample
  double most_output_tokens = 0;  // mean of max_tokens
};

// UserError if the prompts are texts and the model has no tokenizer to count their tokens.
void check_tokenizer(const dataset::PromptFile& prompts, const ModelFolder& model, const RunConfig& config);

// The model may be one of the folder `configs` by its name. UserError if every prompt fails, and if prompts are texts
// and the model has no tokenizer.
PromptWork survey_work(const RunConfig& config, const std::string& configs);

}  // namespace moemill::mill
