#include "bench/simulated_work.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "generate/model_folder.hpp"
#include "generate/prepare.hpp"

namespace moemill::bench {
namespace {

constexpr std::uint64_t block_prompts = 1024;
constexpr std::uint32_t no_max_tokens = 1u << 30;  // of a row that has no max_tokens of its own

// A row without max_tokens has room for its own answers: like made-up ones they are as long as they may be.
void add(mill::WorkLengths& work, const mill::PreparedPrompt& prompt, std::uint32_t most,
         const mill::AnswerLengths& output) {
  const auto tokens = static_cast<std::uint32_t>(prompt.tokens.size());
  const std::uint64_t first = work.answers.size();
  work.add(tokens, most, prompt.sampling.n, most);
  if (most == 0) return;
  std::uint32_t longest = 1;
  for (std::uint64_t a = first; a < work.answers.size(); ++a) {
    work.answers[a] = std::max(1u, output.length(a, most));
    longest = std::max(longest, work.answers[a]);
  }
  if (prompt.sampling.max_tokens == no_max_tokens) work.prompts.back().max_tokens = longest;
}

}  // namespace

SimulatedWork made_work(std::uint64_t prompts, const mill::AnswerLengths& input, const mill::AnswerLengths& output) {
  SimulatedWork work;
  // Prompts and answers are drawn apart: a long prompt has no longer answer.
  for (std::uint64_t p = 0; p < prompts; ++p) {
    const std::uint32_t answer = std::max(1u, output.length(prompts - 1 - p, longest_text));
    work.lengths.add(std::max(1u, input.length(p, longest_text)), answer, 1, answer);
  }
  return work;
}

SimulatedWork work_of_file(const std::string& path, const std::string& model_dir, const mill::AnswerLengths& output) {
  RunConfig config;
  config.model.path = model_dir, config.input.path = path;
  config.sampling.max_tokens = no_max_tokens;
  const mill::ModelFolder model = mill::open_model(config.model);
  const dataset::PromptFile prompts = mill::open_prompts(config);
  if (!model.tokenizer && prompts.form() == dataset::PromptForm::Text)
    user_error(
        "bench: -i {}: its prompts are texts, and --model {} has no tokenizer to count their tokens; name the model's "
        "own folder, a file with prompt_token_ids, or --prompts and --input-tokens in place of the file",
        path, model_dir);
  prompts.check_columns(config.sampling, model.config.vocabulary);
  mill::PrepareRules rules = mill::prepare_rules(config, model);
  rules.max_model_len = UINT32_MAX;  // lengths are compared here, as most rows may have no max_tokens
  SimulatedWork work;
  for (std::uint64_t first = 0; first < prompts.size(); first += block_prompts)
    for (const auto& row : prompts.read(first, std::min(block_prompts, prompts.size() - first), config.sampling)) {
      const mill::PreparedPrompt prompt = prepare(row, model.tokenizer_or_null(), rules);
      const std::uint64_t length = prompt.tokens.size(), limit = model.max_model_len;
      const bool is_free = prompt.sampling.max_tokens == no_max_tokens;
      if (prompt.fault || length + (is_free ? 1 : prompt.sampling.max_tokens) > limit) {
        ++work.failing;
      } else {
        add(work.lengths, prompt, is_free ? static_cast<std::uint32_t>(limit - length) : prompt.sampling.max_tokens,
            output);
      }
    }
  if (work.lengths.prompts.empty()) user_error("bench: -i {}: every prompt fails; moemill validate says why", path);
  return work;
}

}  // namespace moemill::bench
