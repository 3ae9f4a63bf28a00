#include "commands/plan_run.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "commands/expert_sum_text.hpp"
#include "commands/plan_prompts.hpp"
#include "commands/plan_work.hpp"
#include "commands/prompt_survey.hpp"
#include "commands/run_estimate.hpp"
#include "config/config_field_kinds.hpp"
#include "generate/model_folder.hpp"
#include "plan/cores.hpp"
#include "plan/expert_domain.hpp"
#include "weights/stored_model.hpp"

namespace moemill::mill {
namespace {

AnswerLengths answer_lengths(const std::string& word) {
  return word.empty() ? AnswerLengths() : AnswerLengths::of_word(word, most_length, "--output-tokens");
}

std::string answers_text(const std::string& word, const AnswerLengths& lengths, std::uint32_t max_tokens) {
  if (word.empty()) return "answers  all reach max_tokens: give --output-tokens for other lengths\n";
  if (!number_in<double>(word))
    return fmt::format("answers  as the {:.10g} lengths of {}, at most max_tokens each\n", lengths.answers(), word);
  return fmt::format(
      "answers  log-normal lengths of mean {}, with an assumed spread of {}, at most max_tokens each ({})\n", word,
      estimate::assumed_spread, max_tokens);
}

// Replaces expert_domain: auto by what it stands for, and says so if there are several nodes.
std::string settle_domain(ParallelSettings& parallel, const ModelFolder& model, const std::vector<int>& nodes,
                          const PromptSurvey& s, std::uint64_t process) {
  if (parallel.expert_domain != "auto") return "";
  const DomainChoice choice =
      choose_domain({model.config, parallel, nodes, s.completions, s.longest_sequence, std::nullopt, process});
  parallel.expert_domain = choice.setting;
  if (choice.layouts.empty()) return "";
  return fmt::format("domain   parallel.expert_domain: auto is {}: {}\n", choice.setting, reason_text(choice));
}

}  // namespace

std::string plan_run(const PlanRunRequest& request) {
  RunConfig config = request.config;
  const std::uint32_t a_node = request.ranks_per_node.value_or(config.parallel.ranks_per_node.value_or(request.ranks));
  config.parallel.threads_per_rank = threads_here(config.parallel, std::min(request.ranks, a_node));
  const AnswerLengths lengths = answer_lengths(request.output_tokens);
  const ModelFolder model = open_model(config.model);
  const dataset::PromptFile prompts = open_prompts(config);
  check_tokenizer(prompts, model, config);
  WorkLengths work;
  work.sampling = config.sampling;
  const PromptSurvey s = survey(prompts, config.sampling, model.tokenizer_or_null(), prepare_rules(config, model),
                                [&](const PreparedPrompt& prompt) { add_prompt(work, prompt, lengths); });
  if (work.prompts.empty()) user_error("{}: every prompt fails; moemill validate says why", config.input.path);
  const std::vector<int> nodes = nodes_in_a_row(request.ranks, a_node);
  const std::uint64_t process = process_bytes();
  const std::string domain = settle_domain(config.parallel, model, nodes, s, process);
  FitQuestion question{model.config,  config.parallel,    shape_of(config.parallel, nodes),
                       s.completions, s.longest_sequence, std::nullopt,
                       process};
  const RunEstimate estimate = estimate_run(request.calibration, config, question, fit(question), work);
  std::string text = headline(estimate) + "\n" + details(estimate, config.cost) +
                     answers_text(request.output_tokens, lengths, config.sampling.max_tokens) + domain +
                     expert_sum_text(model.config);
  if (s.failed_rows > 0)
    text += fmt::format("failing  {} rows are left out; moemill validate says why\n", s.failed_rows);
  return text;
}

}  // namespace moemill::mill
