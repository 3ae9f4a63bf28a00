#include "commands/plan_prompts.hpp"

#include "base/error.hpp"
#include "commands/prompt_survey.hpp"
#include "system/files/shipped_files.hpp"

namespace moemill::mill {

void check_tokenizer(const dataset::PromptFile& prompts, const ModelFolder& model, const RunConfig& config) {
  if (model.tokenizer || prompts.form() != dataset::PromptForm::Text) return;
  user_error(
      "{}: its prompts are texts, and --model {} has no tokenizer to count their tokens; give the model's own folder, "
      "or --prompts and --input-tokens in place of the file",
      config.input.path, config.model.path);
}

PromptWork survey_work(const RunConfig& asked, const std::string& configs) {
  RunConfig config = asked;
  config.model.path = model_folder(asked.model.path, configs + "/models");
  const ModelFolder model = open_model(config.model);
  const dataset::PromptFile prompts = open_prompts(config);
  check_tokenizer(prompts, model, asked);
  const PromptSurvey s = survey(prompts, config.sampling, model.tokenizer_or_null(), prepare_rules(config, model));
  const std::uint64_t completions = s.completions - s.failed_rows;
  if (completions == 0 || s.tokens == 0)
    user_error("{}: every prompt fails; moemill validate says why", config.input.path);
  std::uint64_t failing = 0;
  for (const auto& code : s.failing) failing += code.second;
  const auto tokens = static_cast<double>(s.tokens);
  PromptWork work;
  work.prompts = static_cast<double>(completions);
  work.input = {tokens / static_cast<double>(s.prompts - failing), s.squares / tokens, static_cast<double>(s.longest),
                estimate::Lengths::Kind::Measured, 0};
  // What is computed is each prompt once, without its shared beginning.
  work.cached_fraction = 1 - (tokens - static_cast<double>(s.shared_tokens)) / (work.input.mean * work.prompts);
  work.most_output_tokens = static_cast<double>(s.most_new_tokens) / work.prompts;
  return work;
}

}  // namespace moemill::mill
