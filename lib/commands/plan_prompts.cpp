#include "commands/plan_prompts.hpp"

#include "base/error.hpp"
#include "commands/prompt_survey.hpp"
#include "generate/model_folder.hpp"

namespace moemill::mill {

PromptWork survey_work(const RunConfig& config) {
  const ModelFolder model = open_model(config.model);
  const dataset::PromptFile prompts = open_prompts(config);
  const PromptSurvey s = survey(prompts, config.sampling, model.tokenizer_or_null(), prepare_rules(config, model));
  const std::uint64_t completions = s.completions - s.failed_rows;
  if (completions == 0 || s.tokens == 0)
    user_error("{}: every prompt fails; moemill validate says why", config.input.path);
  std::uint64_t failing = 0;
  for (const auto& code : s.failing) failing += code.second;
  const auto tokens = static_cast<double>(s.tokens);
  PromptWork work;
  work.prompts = static_cast<double>(completions);
  work.input = {tokens / static_cast<double>(s.prompts - failing), s.squares / tokens, static_cast<double>(s.longest)};
  // What is computed is each prompt once, without its shared beginning.
  work.cached_fraction = 1 - (tokens - static_cast<double>(s.shared_tokens)) / (work.input.mean * work.prompts);
  work.most_output_tokens = static_cast<double>(s.most_new_tokens) / work.prompts;
  return work;
}

}  // namespace moemill::mill
