// What a command needs of a model folder before and without its weights: its config, its tokenizer, the rules for
// prompts. Used by run, validate, preview and replay, so that all four accept the same things.
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

// UserError for whatever in the folder cannot work, including max_model_len beyond what the model was made for.
ModelFolder open_model(const ModelSettings& settings);
dataset::PromptFile open_prompts(const RunConfig& config);
// UserError where the job asks for what this program or this model has not: a backend, or more logprobs than tokens,
// or, without a tokenizer, prompts of text, text to store, stop strings, which all are refused with the reason why it
// has no tokenizer.
void check_model_can(const ModelFolder& model, const RunConfig& config, const dataset::PromptFile& prompts);
PrepareRules prepare_rules(const RunConfig& config, const ModelFolder& model);
// With input.add_special_tokens as the file says it, where run.yaml leaves it to the file: so a run keeps it, and a
// changed attribute is told when it goes on.
RunConfig settle(RunConfig config, const dataset::PromptFile& prompts);
// The columns beside the prompt, so that a misspelt one is seen: "used: n, seed; carried along: topic", or "".
std::string columns_text(const dataset::PromptFile& prompts);
// What a user should know before the job: one sentence each.
std::vector<std::string> warnings_of(const ModelFolder& model, const RunConfig& config,
                                     const dataset::PromptFile& prompts);

}  // namespace moemill::mill
