#include "commands/plan_work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text/path_text.hpp"
#include "config/config_field_kinds.hpp"
#include "plan/estimate/changes.hpp"
#include "plan/estimate/number_text.hpp"

namespace moemill::mill {

void check_number(double value, double least, double most, const char* option) {
  if (!(value >= least && value <= most)) user_error("{} {}: must be from {} to {}", option, value, least, most);
}

void check_number(const std::optional<double>& value, double least, double most, const char* option) {
  if (value) check_number(*value, least, most, option);
}

void check_above_zero(const std::optional<double>& value, double most, const char* option) {
  if (value && !(*value > 0 && *value <= most))
    user_error("{} {}: must be above 0, up to {}; leave it out for no limit", option, *value, most);
}

namespace {

constexpr double most_spread = 3;

class WorkReader {
 public:
  WorkReader(const PlanQuestion& words, const model::ModelConfig& model) : words_(words), model_(model) {}

  AskedWork read() {
    check_number(words_.prompts, 1, 1e15, "--prompts");
    if (words_.prompts && *words_.prompts != std::floor(*words_.prompts))
      user_error("--prompts {}: must be a whole number", *words_.prompts);
    check_number(words_.cached_fraction, 0, 1, "--cached-fraction");
    check_number(words_.output_spread, 0, most_spread, "--output-spread");
    check_number(words_.max_tokens, 0, most_length, "sampling.max_tokens");
    if (!words_.like.empty()) like_ = read_like(words_.like);
    asked_.most_output_tokens = words_.surveyed ? words_.surveyed->most_output_tokens : words_.max_tokens;
    read_input();
    read_output();
    check_lengths();
    if (like_) asked_.notes.push_back(like_text(*like_, words_.like));
    if (like_) asked_.work.prompts = std::max(1.0, std::round(asked_.work.prompts * (1 - failing())));
    asked_.notes.push_back("failures of machines are not in it");
    return std::move(asked_);
  }

 private:
  // Prompts that the survey has found to fail are not among the work already.
  double failing() const { return words_.surveyed ? 0 : like_->failed_fraction; }

  // Says how the file was understood: `10,20` is one length of 20 sequences.
  estimate::Lengths read_file(const std::string& file, const char* option, const char* whose) {
    check_path(option, file);
    estimate::LengthSums sums;
    for (const auto& [length, count] : estimate::read_histogram(estimate::read_figures(file), file))
      sums.add(length, count);
    const estimate::Lengths lengths = sums.lengths();
    if (lengths.mean < 1) user_error("{}: the mean length is {:.3g}; it must be 1 or more", file, lengths.mean);
    asked_.notes.push_back(fmt::format("{}: {}, as {} lengths of {}", whose, lengths_text(lengths),
                                       estimate::whole(sums.sequences()), file));
    return lengths;
  }

  void read_input() {
    estimate::Work& work = asked_.work;
    if (words_.surveyed) {
      const PromptWork& read = *words_.surveyed;
      work.prompts = read.prompts, work.input = read.input, work.cached_fraction = read.cached_fraction;
      return;
    }
    if (like_) {
      work.prompts = static_cast<double>(like_->rows);
      work.input = like_->input, work.cached_fraction = like_->cached_fraction;
    }
    if (words_.prompts) work.prompts = *words_.prompts * words_.samples;
    if (words_.cached_fraction) work.cached_fraction = *words_.cached_fraction;
    if (words_.prompts && words_.samples > 1) take_samples();
    const std::string& word = words_.input_tokens;
    if (word.empty()) return;
    if (const auto mean = number_in<double>(word)) {
      check_number(*mean, 1, most_length, "--input-tokens");
      work.input = estimate::equal_lengths(*mean);
      asked_.notes.push_back(
          fmt::format("prompts: {}, which is taken as equal (--input-tokens FILE)", lengths_text(work.input)));
    } else {
      work.input = read_file(word, "--input-tokens", "prompts");
    }
  }

  // Samples count each, and all but a prompt's first find its tokens in the cache, as an earlier run's hits have it.
  void take_samples() {
    double& cached = asked_.work.cached_fraction;
    if (!like_ || words_.cached_fraction) cached = 1 - (1 - cached) / words_.samples;
    asked_.notes.push_back(
        fmt::format("prompts: {:.0f} samples of each count each; a prompt is computed once", words_.samples));
  }

  void read_output() {
    estimate::Lengths& output = asked_.work.output;
    const std::string& word = words_.output_tokens;
    if (word.empty() && like_) {
      output = like_->output;
    } else if (word.empty()) {
      if (asked_.most_output_tokens.value_or(0) <= 0)
        user_error("answers have no tokens (max_tokens is 0): give --output-tokens");
      output = estimate::equal_lengths(*asked_.most_output_tokens);
      asked_.reaches_most = true;
    } else if (const auto mean = number_in<double>(word)) {
      check_number(*mean, 1, most_length, "--output-tokens");
      const double room = model_.max_positions - asked_.work.input.mean;
      output =
          estimate::log_normal_lengths(*mean, words_.output_spread.value_or(estimate::assumed_spread),
                                       asked_.work.prompts, std::min(asked_.most_output_tokens.value_or(room), room));
      asked_.notes.push_back(fmt::format(
          "answers: {} (--output-spread, --output-tokens FILE or --like RUN_DIR say more)", lengths_text(output)));
    } else {
      output = read_file(word, "--output-tokens", "answers");
    }
  }

  // Lengths that the model cannot hold.
  void check_lengths() const {
    const estimate::Work& work = asked_.work;
    const bool is_guess = work.output.kind == estimate::Lengths::Kind::LogNormal;
    for (const auto& [input, output] : {std::pair(work.input.longest, work.output.mean),
                                        std::pair(work.input.mean, is_guess ? work.output.mean : work.output.longest)})
      if (input + output > model_.max_positions)
        user_error(
            "prompts of {:.0f} tokens and answers of {:.0f} are more than the {} positions of {}; shorter prompts or "
            "answers",
            input, output, model_.max_positions, words_.model);
  }

  const PlanQuestion& words_;
  const model::ModelConfig& model_;
  std::optional<LikeRun> like_;
  AskedWork asked_;
};

}  // namespace

AskedWork asked_work(const PlanQuestion& words, const model::ModelConfig& model) {
  return WorkReader(words, model).read();
}

}  // namespace moemill::mill
