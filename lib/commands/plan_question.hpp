// The question of `moemill plan` as words of the command line, and its answer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "commands/plan.hpp"
#include "commands/plan_like.hpp"
#include "commands/plan_prompts.hpp"
#include "plan/answer/answer.hpp"

namespace moemill::mill {

// The words of a list with commas between them, each once. UserError for an empty one; `option` is the list's name.
std::vector<std::string> words_of(const std::string& list, const char* option);

// As written; numbers that are absent are not asked for.
struct PlanQuestion {
  std::string configs;   // folder
  std::string model;     // name in configs/models, or a folder
  std::string hardware;  // names or files, with commas between them
  std::optional<double> prompts, cached_fraction;
  double samples = 1;                       // of each of these prompts
  std::string input_tokens, output_tokens;  // a mean, or a file of lengths; "": as an earlier run or the prompts say
  std::optional<double> output_spread;      // of answers of which a mean alone is known
  std::optional<double> max_tokens;         // of an answer
  std::optional<PromptWork> surveyed;       // in place of prompts, input_tokens and cached_fraction
  std::string like;                         // the folder of an earlier run; "": none
  std::optional<std::string> gpus, nodes;   // numbers with commas between them
  std::optional<double> tokens_per_second_per_user, budget, hour_price;
  std::string currency = "USD";         // of hour_price
  std::optional<std::string> deadline;  // 90m, 24h, 2d
  std::string precision = "auto";
  std::vector<std::string> changes;  // of single figures
  std::string against;               // scale_up: also machines whose fast links join all GPUs; "": none
  std::string curves;                // names with commas between them, or all; "": none, in JSON all
  estimate::Listing listing = estimate::Listing::Best;
  estimate::Detail detail = estimate::Detail::Answer;
  PlanForm form = PlanForm::Text;
};

struct PlanAnswer {
  std::string text;
  ExitCode code = ExitCode::Done;  // Internal (1) if no layout keeps the limits
};
// UserError for words that mean nothing.
PlanAnswer answer(const PlanQuestion& question);

}  // namespace moemill::mill
