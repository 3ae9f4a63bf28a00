// The parts of a model folder that commands need before or without its weights: its config, its tokenizer, the rules
// for prompts. Used by run, validate, preview and replay, so that all four accept the same things.
#pragma once

#include <optional>
#include <string>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "generate/prepare.hpp"
#include "model/config.hpp"
#include "text/tokenizer.hpp"

namespace moemill::mill {

struct ModelFolder {
  model::ModelConfig config;
  std::optional<text::Tokenizer> tokenizer;  // jobs with token ids in and out need none
  std::string why_no_tokenizer;
  std::uint32_t max_model_len = 0;

  const text::Tokenizer* tokenizer_or_null() const { return tokenizer ? &*tokenizer : nullptr; }
  std::string tokenizer_sha256() const { return tokenizer ? tokenizer->fingerprint() : ""; }
};

// UserError for anything in the folder that cannot work, including a max_model_len beyond the model's limit.
// of_run: how the run that goes on sums experts' outputs, which model.expert_sum: auto then means.
ModelFolder open_model(const ModelSettings& settings, std::optional<ExpertSum> of_run = std::nullopt);
dataset::PromptFile open_prompts(const RunConfig& config);
// UserError if the job asks for something that this program or model lacks: a backend, more logprobs than tokens, or,
// without a tokenizer, prompts of text, text to store, or stop strings; the message says why there is no tokenizer.
void check_model_can(const ModelFolder& model, const RunConfig& config, const dataset::PromptFile& prompts);
PrepareRules prepare_rules(const RunConfig& config, const ModelFolder& model);
// The settings with model.expert_sum as the model has it, and with input.add_special_tokens taken from the file if
// run.yaml leaves it to the file: a run keeps these values, and a changed attribute is reported when the run is
// resumed.
RunConfig with_settings_of(RunConfig config, const ModelFolder& model, const dataset::PromptFile& prompts);
// The columns beside the prompt, so that a misspelt one is noticed: "used: n, seed; carried along: topic", or "".
std::string columns_text(const dataset::PromptFile& prompts);
// Warnings for the user before the job, one sentence each.
std::vector<std::string> warnings_of(const ModelFolder& model, const RunConfig& config,
                                     const dataset::PromptFile& prompts);

}  // namespace moemill::mill
