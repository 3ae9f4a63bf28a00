#include "commands/plan_question.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/log.hpp"
#include "base/readable.hpp"
#include "base/text/path_text.hpp"
#include "config/config_field_kinds.hpp"

namespace moemill::mill {

std::vector<std::string> words_of(const std::string& list, const char* option) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    const std::string word = list.substr(at, comma - at);
    if (word.empty()) user_error("{} {}: an empty place in the list; write words with commas between", option, list);
    if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
    at = comma + 1;
  }
  return words;
}

namespace {

std::vector<std::uint32_t> counts(const std::optional<std::string>& words, const char* option) {
  std::vector<std::uint32_t> numbers;
  if (!words) return numbers;
  const std::string& list = *words;
  for (const std::string& word : words_of(list, option)) {
    const auto number = number_in<std::uint32_t>(word);
    if (!number || *number == 0 || *number > 65536)
      user_error("{} {}: '{}' is not a number from 1 to 65536", option, list, word);
    numbers.push_back(*number);
  }
  return numbers;
}

double hours_of(const std::string& text) {
  const double unit = text.ends_with('m') ? 1.0 / 60 : text.ends_with('d') ? 24 : 1;
  const bool has_unit = text.ends_with('m') || text.ends_with('d') || text.ends_with('h');
  const auto number = number_in<double>(std::string_view(text).substr(0, text.size() - (has_unit ? 1 : 0)));
  if (!number || *number <= 0) user_error("--deadline {}: is no time; write 90m, 24h or 2d", text);
  return *number * unit;
}

void check_number(double value, double least, double most, const char* option) {
  if (!(value >= least && value <= most)) user_error("{} {}: must be from {} to {}", option, value, least, most);
}

void check_number(const std::optional<double>& value, double least, double most, const char* option) {
  if (value) check_number(*value, least, most, option);
}

estimate::Lengths lengths_of(const std::string& word, const char* option) {
  if (const auto mean = number_in<double>(word)) {
    check_number(*mean, 1, 1e7, option);
    return estimate::equal_lengths(*mean);
  }
  check_path(option, word);
  const estimate::Lengths lengths = estimate::read_lengths(read_text_file(word), word);
  if (lengths.mean < 1) user_error("{}: the mean length is {:.3g}; it must be 1 or more", word, lengths.mean);
  return lengths;
}

estimate::Work work_of(const PlanQuestion& words) {
  estimate::Work work;
  if (!words.output_tokens.empty()) work.output = lengths_of(words.output_tokens, "--output-tokens");
  if (words.surveyed) {
    const PromptWork& read = *words.surveyed;
    work.prompts = read.prompts, work.input = read.input, work.cached_fraction = read.cached_fraction;
    if (words.output_tokens.empty()) work.output = estimate::equal_lengths(read.most_output_tokens);
    if (work.output.mean <= 0) user_error("answers have no tokens (max_tokens is 0): give --output-tokens");
    return work;
  }
  check_number(words.prompts, 1, 1e15, "--prompts");
  if (words.prompts != std::floor(words.prompts)) user_error("--prompts {}: must be a whole number", words.prompts);
  check_number(words.cached_fraction, 0, 1, "--cached-fraction");
  work.prompts = words.prompts, work.cached_fraction = words.cached_fraction;
  work.input = lengths_of(words.input_tokens, "--input-tokens");
  return work;
}

estimate::Question question_of(const PlanQuestion& words) {
  estimate::Question question;
  question.model = words.model;
  question.hardware = words_of(words.hardware, "--hardware");
  question.gpus = counts(words.gpus, "--gpus");
  question.nodes = counts(words.nodes, "--nodes");
  question.work = work_of(words);
  check_number(words.tokens_per_second_per_user, 0, 1e9, "--tokens-per-second-per-user");
  check_number(words.budget, 0, 1e18, "--budget");
  check_number(words.hour_price, 0, 1e6, "--hour-price");
  question.limits = {words.tokens_per_second_per_user, {}, words.budget};
  if (words.deadline) question.limits.hours = hours_of(*words.deadline);
  if (words.precision.empty())
    user_error("--precision: is empty; write auto, bf16, fp8 or another of moemill plan --help");
  if (words.precision != "auto") {
    const yaml::Node node = estimate::read_mapping("precision: " + words.precision, "--precision");
    question.precision =
        estimate::read_precision(estimate::Section(node, "--precision", "", {"precision"}), "precision");
  }
  question.hour_price = words.hour_price, question.currency = words.currency;
  return question;
}

// Lengths that the model cannot hold.
void check_lengths(const estimate::Question& question, const model::ModelConfig& model) {
  const estimate::Work& work = question.work;
  for (const auto& [input, output] :
       {std::pair(work.input.longest, work.output.mean), std::pair(work.input.mean, work.output.longest)})
    if (input + output > model.max_positions)
      user_error(
          "prompts of {:.0f} tokens and answers of {:.0f} are more than the {} positions of {}; shorter prompts or "
          "answers",
          input, output, model.max_positions, question.model);
}

// Costs in different currencies cannot be compared.
void check_currencies(const estimate::Question& question, estimate::Catalog& catalog) {
  if (question.hour_price) return;
  const estimate::Hardware* first = nullptr;
  for (const std::string& name : question.hardware) {
    const estimate::Hardware& machine = catalog.hardware(name);
    if (!machine.price) continue;
    if (!first) first = &machine;
    if (machine.price->currency != first->price->currency)
      user_error("--hardware: {} has a price in {}, {} in {}; ask for each alone, or give --hour-price", first->name,
                 first->price->currency, machine.name, machine.price->currency);
  }
}

// Questions that ask for less, or offer more, each with its name.
std::vector<std::pair<const char*, estimate::Question>> easier(const estimate::Question& question) {
  std::vector<std::pair<const char*, estimate::Question>> all;
  const auto with = [&](const char* name, auto change) {
    estimate::Question other = question;
    change(other);
    all.emplace_back(name, other);
  };
  if (!question.gpus.empty() || !question.nodes.empty())
    with("other numbers of GPUs", [](auto& q) { q.gpus.clear(), q.nodes.clear(); });
  if (question.limits.tokens_per_second_per_user)
    with("slower for each user", [](auto& q) { q.limits.tokens_per_second_per_user.reset(); });
  if (question.limits.hours) with("later", [](auto& q) { q.limits.hours.reset(); });
  if (question.limits.budget) with("a larger budget", [](auto& q) { q.limits.budget.reset(); });
  const estimate::Limits& limits = question.limits;
  if (limits.tokens_per_second_per_user.has_value() + limits.hours.has_value() + limits.budget.has_value() > 1)
    with("without these limits", [](auto& q) { q.limits = {}; });
  with("fp8 weights and cache", [](auto& q) {
    q.precision = {estimate::Format::Fp8, estimate::Format::Fp8, estimate::CacheFormat::Fp8};
  });
  with("fp4 weights and an fp8 cache", [](auto& q) {
    q.precision = {estimate::Format::Fp4, estimate::Format::Fp8, estimate::CacheFormat::Fp8};
  });
  return all;
}

// What the work costs at most: if all answers reach max_tokens.
std::string ceiling_text(const PlanQuestion& words, estimate::Question question, estimate::Catalog& catalog,
                         const std::vector<estimate::Checked>& checked) {
  if (!words.surveyed) return "";
  if (words.output_tokens.empty()) return "all answers are taken to reach max_tokens: give --output-tokens\n";
  question.work.output = estimate::equal_lengths(words.surveyed->most_output_tokens);
  if (question.work.output.mean <= 0) return "";
  const estimate::Search search = estimate::search_plans(question, catalog);
  if (search.plans.empty()) return "if all answers reach max_tokens, nothing keeps the limits\n";
  return fmt::format("if all answers reach max_tokens: {}\n", best_text(question, search, checked));
}

// What would keep the limits, a line each.
std::string what_would(const estimate::Question& question, estimate::Catalog& catalog,
                       const std::vector<estimate::Checked>& checked) {
  std::string text;
  for (const auto& [name, other] : easier(question)) {
    const estimate::Search search = estimate::search_plans(other, catalog);
    if (!search.plans.empty()) text += fmt::format("{}: {}\n", name, best_text(other, search, checked));
  }
  return text.empty() ? "nothing that was tried would\n" : "what would:\n" + text;
}

}  // namespace

PlanAnswer answer(const PlanQuestion& words) {
  estimate::Catalog catalog(words.configs);
  const estimate::Question question = question_of(words);
  check_lengths(question, catalog.model(question.model));
  check_currencies(question, catalog);
  for (const std::string& name : question.hardware)
    for (const std::string& warning : catalog.hardware(name).warnings) log::warning("{}", warning);
  const std::string file = words.configs + "/published.yaml";
  const auto checked = estimate::check(estimate::read_points(read_text_file(file), file, catalog), catalog);
  const estimate::Search search = estimate::search_plans(question, catalog);
  std::string text = answer_text(question, search, checked, words.listing);
  text += ceiling_text(words, question, catalog, checked);
  if (!search.plans.empty()) return {text, ExitCode::Done};
  return {text + what_would(question, catalog, checked), ExitCode::Internal};
}

}  // namespace moemill::mill
