// Generates on one rank: prompts in, finished rows out, one step at a time. It drives scheduler, backend and stopping;
// it knows no files and no shards. The loop, preview and replay all generate through it, so replay compares exactly
// what run writes. step() is collective over the expert domain.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/rows.hpp"
#include "generate/backend/backend.hpp"
#include "generate/prepare.hpp"
#include "generate/row_seconds.hpp"
#include "model/config.hpp"
#include "plan/calibration/predict.hpp"
#include "sample/requests.hpp"
#include "sample/stopping.hpp"
#include "schedule/scheduler.hpp"
#include "text/tokenizer.hpp"

namespace moemill::mill {

// Yes if text is stored. A row with stop strings is decoded in any case.
enum class DecodeText { No, Yes };
struct TextRules {
  DecodeText decode = DecodeText::Yes;
  text::SkipSpecial skip = text::SkipSpecial::Yes;
};

struct GeneratedRows {
  std::vector<dataset::PromptScore> scores;  // each before the first completion of its prompt
  std::vector<dataset::Completion> completions;
};

class Generator {
 public:
  struct Parts {
    const model::ModelConfig& config;
    const text::Tokenizer* tokenizer;  // null: token ids only, no text and no stop strings
    Backend& backend;
  };
  Generator(Parts parts, const schedule::SchedulerSettings& settings, TextRules text);

  bool fits(const PreparedPrompt& prompt) const;
  // Whether the prompt's log-probabilities are still to be computed, or are those of an earlier attempt.
  enum class Score { Wanted, Known };
  // Adds the missing samples of a prompt without fault. Partials continue where a drain stopped. By the run's plan the
  // prompt shares `shared_tokens` tokens with others; what is shared is found again from the tokens.
  void add(const PreparedPrompt& prompt, std::span<const std::uint32_t> missing_samples,
           std::vector<dataset::PartialSample> partials, Score score, std::uint32_t shared_tokens = 0);
  // Prompts that begin with `prefix` will be added (schedule::Scheduler).
  void expect_more(std::span<const TokenId> prefix) { scheduler_.expect_more(prefix); }

  schedule::Facts facts(std::uint32_t steps_ahead = 0) const { return scheduler_.facts(steps_ahead); }
  bool idle() const { return scheduler_.idle(); }
  // `held`: is set to what the step holds, for those who predict it.
  void step(const schedule::Decision& decision, calibration::StepFacts* held = nullptr);
  // Rows that ended since the last call.
  GeneratedRows take_finished() { return std::exchange(ended_, {}); }
  // The tokens of unfinished samples after a Drain decision.
  std::vector<dataset::PartialSample> partials() const;

  // Each once.
  std::uint64_t prompt_tokens() const { return prompt_tokens_ - scheduler_.prompt_rows_again(); }
  // Prompt and generated tokens that were computed again, because their sample was put back.
  std::uint64_t replayed_tokens() const { return scheduler_.prompt_rows_again() + scheduler_.generated_rows_again(); }
  // Prompt tokens that were not computed, because an earlier sample of the prompt, or a prompt that begins alike, did.
  std::uint64_t cached_prompt_tokens() const { return sample_tokens_ + prefix_tokens(); }
  // Those of prompts that begin alike.
  std::uint64_t prefix_tokens() const { return scheduler_.shared_rows(); }
  // Those that the run's plan says, of the prompts that were begun.
  std::uint64_t planned_prefix_tokens() const { return scheduler_.planned_rows(); }
  std::uint64_t generated_tokens() const { return generated_tokens_; }
  std::uint32_t last_rows() const { return last_rows_; }
  const RowSeconds& row_seconds() const { return row_seconds_; }

 private:
  using Key = std::pair<std::uint64_t, std::uint32_t>;  // prompt, sample
  // State of a slot's sequence besides its tokens.
  struct Track {
    std::vector<TokenId> stop_tokens;
    sample::Stopping stopping;
    std::optional<text::StreamDecoder> decoder;
    std::string text;
    double began = 0;               // now_seconds() of the step of its first token, in this attempt
    dataset::PartialSample extras;  // logprobs, top_ids and top_values only
  };
  struct PromptFacts {
    dataset::PromptId id;
    std::uint32_t samples_left = 0;
    bool any_ended = false;
  };

  // A rank may be given some samples of a prompt and later others.
  static Key key_of(const schedule::PromptWork& work) { return {work.prompt_index, work.samples.front().sample_index}; }
  void draw();
  void ask_for_scores();
  void ask_for_samples();
  void take_answers();
  void start_track(SlotId slot);
  schedule::Drawn take_token(const schedule::LogitUse& use, const sample::SampleResult& result,
                             std::span<const sample::TokenLogprob> top);
  void collect();
  dataset::Completion completion_of(SlotId slot, const PromptFacts& prompt);
  Track& track(SlotId slot) { return tracks_[static_cast<std::size_t>(slot.value)]; }

  Parts parts_;
  TextRules text_;
  schedule::Scheduler scheduler_;
  std::deque<Track> tracks_;            // [slots]; a deque, because Stopping keeps views into its Track
  std::map<Key, PromptFacts> prompts_;  // by the prompt and the first of its samples that were added with it
  std::map<Key, dataset::PartialSample> resumed_;
  GeneratedRows ended_;
  std::uint64_t prompt_tokens_ = 0;
  std::uint64_t sample_tokens_ = 0;  // of a prompt's later samples, which the first one's pages serve
  std::uint64_t generated_tokens_ = 0;
  std::uint32_t last_rows_ = 0;
  RowSeconds row_seconds_;
  double step_began_ = 0;
  // Workspaces of draw().
  std::vector<schedule::Drawn> drawn_;
  std::vector<sample::SampleRequest> requests_;
  std::vector<sample::SampleResult> results_;
  std::vector<sample::TokenLogprob> top_;
  std::vector<sample::ScoreRequest> targets_;
  std::vector<float> scores_;
};

}  // namespace moemill::mill
