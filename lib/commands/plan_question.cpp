#include "commands/plan_question.hpp"

#include <fmt/format.h>

#include <fmt/ranges.h>
#include <algorithm>
#include <memory>
#include <vector>

#include "base/log.hpp"
#include "commands/plan_work.hpp"
#include "config/config_field_kinds.hpp"
#include "plan/answer/calibrated.hpp"
#include "plan/estimate/changes.hpp"

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

constexpr const char* one_domain = " in one domain";  // behind the name of a machine that does not exist

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
  const double unit = text.ends_with('m') ? 1.0 / 60 : text.ends_with('h') ? 1 : text.ends_with('d') ? 24 : 0;
  const auto number = number_in<double>(std::string_view(text).substr(0, text.size() - (unit > 0 ? 1 : 0)));
  if (number && unit == 0) user_error("--deadline {}: has no unit; write {}m, {}h or {}d", text, text, text, text);
  if (!number || *number <= 0) user_error("--deadline {}: is no time; write 90m, 24h or 2d", text);
  return *number * unit;
}

std::optional<estimate::Precision> precision_of(const std::string& word) {
  if (word.empty()) user_error("--precision: is empty; write auto, bf16, fp8 or another of moemill plan --help");
  if (word == "auto") return std::nullopt;
  const estimate::Words known = estimate::format_names();
  if (!word.starts_with('{') && std::find(known.begin(), known.end(), word) == known.end())
    user_error("--precision {}: is no precision; there are auto, {}, and pairs such as '{{weights: fp8, cache: fp8}}'",
               word, fmt::join(known, ", "));
  const yaml::Node node = estimate::read_mapping("precision: " + word, "--precision");
  return estimate::read_precision(estimate::Section(node, "--precision", "", {"precision"}), "precision");
}

estimate::Question question_of(const PlanQuestion& words, const estimate::Work& work) {
  estimate::Question question;
  question.model = words.model;
  question.hardware = words_of(words.hardware, "--hardware");
  question.gpus = counts(words.gpus, "--gpus");
  question.nodes = counts(words.nodes, "--nodes");
  question.work = work;
  check_above_zero(words.tokens_per_second_per_user, 1e9, "--tokens-per-second-per-user");
  check_above_zero(words.budget, 1e18, "--budget");
  check_number(words.hour_price, 0, 1e6, "--hour-price");
  question.limits = {words.tokens_per_second_per_user, {}, words.budget};
  if (words.deadline) question.limits.hours = hours_of(*words.deadline);
  question.precision = precision_of(words.precision);
  question.hour_price = words.hour_price, question.currency = words.currency;
  return question;
}

// Machines of kind cpu take their calibration's steps, which `owned` keeps.
using OwnedSteps = std::vector<std::unique_ptr<estimate::CalibratedSteps>>;
void attach_calibrations(estimate::Question& question, estimate::Catalog& catalog, OwnedSteps& owned) {
  const model::ModelConfig& model = catalog.model(question.model);
  for (std::string& name : question.hardware) {
    const estimate::Hardware machine = catalog.hardware(name);
    if (machine.calibration.empty()) continue;
    if (question.precision)
      user_error("--precision: {} is a CPU node, which computes as it was calibrated; leave it or --precision out",
                 name);
    owned.push_back(
        std::make_unique<estimate::CalibratedSteps>(calibration::read_calibration(machine.calibration), model));
    const calibration::Calibration& c = owned.back()->calibration();
    for (const std::string& warning : calibration::warnings(c, model, c.stages.front().micro_batches))
      log::warning("{}: {}", machine.calibration, warning);
    catalog.add(estimate::calibrated(machine, *owned.back()));
    name = machine.name;
  }
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
std::vector<std::pair<const char*, estimate::Question>> easier(const estimate::Question& question,
                                                               const OwnedSteps& calibrated) {
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
  if (!calibrated.empty()) return all;  // CPU nodes compute as they were calibrated
  with("fp8 weights and cache", [](auto& q) {
    q.precision = {estimate::Format::Fp8, estimate::Format::Fp8, estimate::CacheFormat::Fp8};
  });
  with("fp4 weights and an fp8 cache", [](auto& q) {
    q.precision = {estimate::Format::Fp4, estimate::Format::Fp8, estimate::CacheFormat::Fp8};
  });
  return all;
}

// What the work costs at most: if all answers reach max_tokens.
std::string ceiling_text(const AskedWork& asked, estimate::Question question, estimate::Catalog& catalog,
                         const std::vector<estimate::Checked>& checked) {
  if (asked.reaches_most) return "all answers are taken to reach max_tokens: give --output-tokens or --like\n";
  if (asked.most_output_tokens.value_or(0) <= 0) return "";
  question.work.output = estimate::equal_lengths(*asked.most_output_tokens);
  const estimate::Search search = estimate::search_plans(question, catalog);
  if (search.plans.empty()) return "if all answers reach max_tokens, nothing keeps the limits\n";
  return fmt::format("if all answers reach max_tokens: {}\n", best_text(question, search, checked));
}

// What would keep the limits, each with its first line.
std::vector<std::pair<std::string, std::string>> what_would(const estimate::Question& question,
                                                            estimate::Catalog& catalog, const OwnedSteps& calibrated,
                                                            const std::vector<estimate::Checked>& checked) {
  std::vector<std::pair<std::string, std::string>> lines;
  for (const auto& [name, other] : easier(question, calibrated)) {
    const estimate::Search search = estimate::search_plans(other, catalog);
    if (!search.plans.empty()) lines.emplace_back(name, best_text(other, search, checked));
  }
  return lines;
}

std::vector<estimate::Axis> axes_of(const PlanQuestion& words) {
  std::vector<estimate::Axis> axes;
  const bool all = words.curves == "all" || (words.curves.empty() && words.form == PlanForm::Json);
  if (words.curves.empty() && !all) return axes;
  for (const std::string& name : all ? estimate::axis_names() : words_of(words.curves, "--curve"))
    axes.push_back(estimate::axis_named(name));
  return axes;
}

// The plans of machines as they would be with one domain of fast links for all GPUs, if that is asked for.
std::vector<estimate::Plan> imagined_plans(const PlanQuestion& words, estimate::Question question,
                                           estimate::Catalog& catalog) {
  if (words.against.empty()) return {};
  if (words.against != "scale_up") user_error("--against {}: there is scale_up alone", words.against);
  for (std::string& name : question.hardware) {
    estimate::Hardware machine = catalog.hardware(name);
    if (machine.measured) user_error("--against scale_up: {} is a CPU node; leave it or --against out", name);
    machine.name += one_domain;
    machine.scale_up_gpus = 1u << 20;
    catalog.add(machine);
    name = machine.name;
  }
  return search_plans(question, catalog).plans;
}

// Of the best plan's machine, and of the same one with one domain if that is among the imagined ones.
std::vector<estimate::PlanCurve> curves_of(const PlanQuestion& words, const estimate::Question& question,
                                           const estimate::Search& search, const std::vector<estimate::Plan>& imagined,
                                           estimate::Catalog& catalog) {
  std::vector<estimate::PlanCurve> curves;
  const std::vector<estimate::Axis> axes = axes_of(words);
  if (search.plans.empty()) return curves;
  const estimate::Plan& best = search.plans.front();
  const auto twin = std::find_if(imagined.begin(), imagined.end(), [&](const estimate::Plan& plan) {
    return plan.hardware->name == best.hardware->name + one_domain;
  });
  for (const estimate::Axis axis : axes) {
    if (axis == estimate::Axis::Network && best.hardware->measured) continue;  // the calibration's is the only one
    curves.push_back(estimate::curve_of(axis, question, search.plans, best, catalog));
    if (twin != imagined.end() && axis != estimate::Axis::Network)
      curves.push_back(estimate::curve_of(axis, question, search.plans, *twin, catalog));
  }
  return curves;
}

}  // namespace

PlanAnswer answer(const PlanQuestion& words) {
  const std::vector<estimate::FigureChange> changes = estimate::read_changes(words.changes);
  estimate::Catalog published(words.configs);  // the points are of machines as they are
  const std::string file = words.configs + "/published.yaml";
  const auto checked = estimate::check(estimate::read_points(estimate::read_figures(file), file, published), published);
  estimate::Catalog catalog = changes.empty() ? published : estimate::Catalog(words.configs, changes);
  axes_of(words);  // whether they are known
  AskedWork asked = asked_work(words, catalog.model(words.model));
  estimate::Question question = question_of(words, asked.work);
  OwnedSteps owned;
  attach_calibrations(question, catalog, owned);
  for (const auto& steps : owned) asked.notes.insert(asked.notes.begin(), calibration_text(*steps));
  check_currencies(question, catalog);
  for (const std::string& name : question.hardware)
    for (const std::string& warning : catalog.hardware(name).warnings) log::warning("{}", warning);
  catalog.check_changes();
  for (const std::string& change : words.changes) asked.notes.push_back("changed   " + change);
  const estimate::Search search = estimate::search_plans(question, catalog);
  estimate::Report report{question, search, checked, words.listing, words.detail, asked.notes};
  report.ceiling = ceiling_text(asked, question, catalog, checked);
  if (search.plans.empty()) report.easier = what_would(question, catalog, owned, checked);
  report.imagined = imagined_plans(words, question, catalog);
  report.curves = curves_of(words, question, search, report.imagined, catalog);
  return {words.form == PlanForm::Json ? answer_json(report) : answer_text(report),
          search.plans.empty() ? ExitCode::Internal : ExitCode::Done};
}

}  // namespace moemill::mill
