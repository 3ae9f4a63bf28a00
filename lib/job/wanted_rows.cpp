#include "job/wanted_rows.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "sample/stopping.hpp"

namespace moemill::mill {
namespace {

using dataset::Fate;

constexpr std::uint64_t block_prompts = 256;

// The model folder was opened with the settings of the request, which may differ from these.
PrepareRules rules_of(const RunConfig& config, const ModelFolder& model) {
  PrepareRules rules = prepare_rules(config, model);
  rules.max_model_len = config.model.max_model_len.value_or(model.config.max_positions);
  return rules;
}

bool cuts(TooLong policy) { return policy == TooLong::TruncateLeft || policy == TooLong::TruncateRight; }

}  // namespace

WantedRows::WantedRows(const RunConfig& config, RunConfig before, Columns columns, const ModelFolder& model,
                       const dataset::PromptFile& prompts)
    : config_(config),
      before_(std::move(before)),
      columns_(columns),
      model_(model),
      prompts_(prompts),
      rules_(rules_of(config, model)),
      rules_before_(rules_of(before_, model)) {}

const PreparedPrompt& WantedRows::of(std::uint64_t prompt) {
  if (block_.empty() || prompt < first_ || prompt >= first_ + block_.size()) {
    first_ = prompt;
    block_.clear();
    const std::uint64_t count = std::min(block_prompts, prompts_.size() - prompt);
    for (const auto& read : prompts_.read(prompt, count, config_.sampling))
      block_.push_back(prepare(read, model_.tokenizer_or_null(), rules_));
  }
  return block_[prompt - first_];
}

Fate WantedRows::fate_of(const dataset::Completion& row) {
  const PreparedPrompt& now = of(row.prompt_index);
  auto refuse = [&](const std::string& why) {
    user_error("prompt {} of {}: {}; nothing was changed", row.prompt_index, prompts_.path(), why);
  };
  if (row.sample_index >= now.sampling.n)
    refuse(fmt::format("has sample {} already, and n is {} now: n can only grow", row.sample_index, now.sampling.n));
  if (row.status == dataset::RowStatus::Failed) return Fate::Keep;
  if (now.fault)
    refuse(
        fmt::format("has an answer, and with these settings it would fail ({}): choose a smaller max_tokens, a larger "
                    "model.max_model_len, or errors.too_long: reduce_max_tokens before the first answer",
                    now.fault->message));
  if (now.tokens.size() != row.num_prompt_tokens)
    refuse(
        fmt::format("was answered with {} tokens of prompt, and with these settings it would be cut to {} "
                    "(errors.too_long): choose a smaller max_tokens, or start a separate run",
                    row.num_prompt_tokens, now.tokens.size()));
  if (row.num_completion_tokens > now.sampling.max_tokens)
    refuse(fmt::format("has an answer of {} tokens, and max_tokens is {} now: max_tokens can only grow",
                       row.num_completion_tokens, now.sampling.max_tokens));
  const bool cut = row.finish_reason == FinishReason::Length && row.num_completion_tokens < now.sampling.max_tokens;
  if (!cut) return Fate::Keep;
  return row.num_completion_tokens > 0 ? Fate::Continue : Fate::Again;
}

bool WantedRows::begins_as_before(std::uint64_t prompt) {
  const PreparedPrompt& now = of(prompt);
  if (now.fault) return false;
  // If a cut depends on max_tokens, and a column of it may have had a different value, the cut is unknown.
  const auto& used = prompts_.used();
  const bool by_column = std::find(used.begin(), used.end(), "max_tokens") != used.end();
  if (by_column && columns_ == Columns::Changed && cuts(before_.errors.too_long)) return false;
  const auto read = prompts_.read(prompt, 1, before_.sampling);
  const PreparedPrompt then = prepare(read[0], model_.tokenizer_or_null(), rules_before_);
  return !then.fault && then.tokens == now.tokens;
}

bool WantedRows::is_beginning(const dataset::PartialSample& partial) {
  const SamplingParams& now = of(partial.prompt_index).sampling;
  return partial.sample_index < now.n && partial.token_ids.size() < now.max_tokens &&
         begins_as_before(partial.prompt_index);
}

// Only the rule for repetition is checked after the rule for length.
FinishReason WantedRows::ends_after_all(const dataset::Completion& row) {
  const PreparedPrompt& now = of(row.prompt_index);
  const std::vector<TokenId> stop_tokens = sample::stop_tokens(now.sampling, model_.config.eos);
  sample::Stopping stopping;
  stopping.start(now.sampling, stop_tokens);
  FinishReason reason = FinishReason::None;
  for (TokenId token : row.token_ids) reason = stopping.push(token, {});
  return reason == FinishReason::Repetition ? reason : FinishReason::None;
}

}  // namespace moemill::mill
