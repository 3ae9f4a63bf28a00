#include "commands/preview.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "generate/double_bos.hpp"
#include "generate/small_run.hpp"
#include "weights/stored_model.hpp"

namespace moemill::mill {
namespace {

// Escapes line breaks and control bytes, so that the reader sees exactly what the model receives.
std::string visible(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

// Skips the first token, which has no log-probability.
void show_score(std::span<const float> logprobs) {
  if (logprobs.size() < 2) return fmt::print("  score      none: a prompt of one token has no log-probability\n");
  double sum = 0;
  for (float value : logprobs.subspan(1)) sum += value;
  const double mean = sum / static_cast<double>(logprobs.size() - 1);
  fmt::print("  score      mean log-probability {:.3f} per token, perplexity {:.4g}\n", mean, std::exp(-mean));
}

struct Shown {
  PreparedPrompt prepared;
  std::string warning;  // "" if there is none
};

void show(const Shown& shown, const ModelFolder& model, const GeneratedRows& rows) {
  const PreparedPrompt& p = shown.prepared;
  fmt::print("row {}, id {}, {} tokens\n", p.index, dataset::to_text(p.id), p.tokens.size());
  if (p.fault) {
    fmt::print("  fails      {}: {}\n\n", dataset::name_of(p.fault->code), p.fault->message);
    return;
  }
  if (model.tokenizer)
    fmt::print("  text       {}\n", visible(model.tokenizer->decode(p.tokens, text::SkipSpecial::No)));
  fmt::print("  token ids  {}\n", fmt::join(p.tokens, " "));
  if (!shown.warning.empty()) fmt::print("  warning    {}\n", shown.warning);
  for (const auto& score : rows.scores) {
    if (score.prompt_index == p.index) show_score(score.logprobs);
  }
  for (const auto& row : rows.completions) {
    if (row.prompt_index != p.index || p.sampling.max_tokens == 0) continue;
    if (row.status != dataset::RowStatus::Ok) {
      fmt::print("  answer     failed: {}\n", row.error ? row.error->message : "");
      continue;
    }
    if (model.tokenizer)
      fmt::print("  answer     {}{}\n", visible(row.text),
                 row.finish_reason == dataset::FinishReason::Length ? " ..." : "");
    fmt::print("  token ids  {}\n", fmt::join(row.token_ids, " "));
  }
  fmt::print("\n");
}

}  // namespace

ExitCode preview(const PreviewRequest& request) {
  const ModelFolder model = open_model(request.config.model);
  const dataset::PromptFile prompts = open_prompts(request.config);
  check_model_can(model, request.config, prompts);
  for (const auto& warning : warnings_of(model, request.config, prompts)) fmt::print("warning: {}\n", warning);
  for (const auto& warning : prompts.warnings()) fmt::print("warning: {}\n", warning);
  const ModelSettings& weights = request.config.model;
  for (const auto& warning : model::check_model_files(weights.path, model.config, weights.load_format))
    fmt::print("warning: {}\n", warning);
  PrepareRules rules = prepare_rules(request.config, model);
  const FrontTokens front(model.tokenizer_or_null());
  std::vector<Shown> shown;
  std::vector<SmallJob> jobs;
  for (const auto& prompt : prompts.read(0, std::min(request.prompts, prompts.size()), request.config.sampling)) {
    // Only the generation is shortened; the prompt is the run's.
    PreparedPrompt p = prepare(prompt, model.tokenizer_or_null(), rules);
    p.sampling.max_tokens = std::min(p.sampling.max_tokens, request.max_tokens);
    p.sampling.min_tokens = std::min(p.sampling.min_tokens, p.sampling.max_tokens);
    p.sampling.prompt_logprobs =
        p.sampling.prompt_logprobs && p.sampling.max_tokens == 0;  // only for jobs that score without generating
    if (!p.fault && (p.sampling.max_tokens > 0 || p.sampling.prompt_logprobs)) jobs.push_back({p, {0}});
    shown.push_back({std::move(p), front.doubled_in(prompt) ? front.warning(0, 0) : ""});
  }
  RunConfig config = request.config;
  config.output.store_text = model.tokenizer.has_value();  // the text is printed below
  GeneratedRows rows;
  if (!jobs.empty()) rows = generate_rows(Comm::alone(), config, model, jobs);
  for (const auto& prompt : shown) show(prompt, model, rows);
  return ExitCode::Done;
}

}  // namespace moemill::mill
