#include <nlohmann/json.hpp>

#include "plan/answer/answer.hpp"
#include "plan/answer/bound.hpp"
#include "plan/answer/costs.hpp"
#include "plan/answer/launch.hpp"
#include "plan/answer/tables.hpp"
#include "plan/answer/words.hpp"
#include "plan/estimate/explain.hpp"

namespace moemill::estimate {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json json_of(const Lengths& lengths) {
  return {{"mean_tokens", lengths.mean},
          {"mean_over_tokens_tokens", lengths.of_token},
          {"longest_tokens", lengths.longest},
          {"lengths", name_of(lengths.kind)},
          {"spread", lengths.kind == Lengths::Kind::LogNormal ? Json(lengths.spread) : Json()}};
}

Json json_of(const Question& question) {
  const Work& w = question.work;
  return {{"model", question.model},
          {"hardware", question.hardware},
          {"gpus", question.gpus},
          {"nodes", question.nodes},
          {"prompts", w.prompts},
          {"input", json_of(w.input)},
          {"output", json_of(w.output)},
          {"cached_fraction", w.cached_fraction},
          {"least_tokens_per_second_per_user", or_null(question.limits.tokens_per_second_per_user)},
          {"most_hours", or_null(question.limits.hours)},
          {"budget", or_null(question.limits.budget)},
          {"price_per_gpu_hour", or_null(question.hour_price)}};
}

Json json_of(const Layout& layout) {
  constexpr const char* exchanges[] = {"every_copy", "once_a_node", "once_a_gpu", "all_gather"};
  return {{"gpus", layout.gpus},
          {"exchange", exchanges[static_cast<std::size_t>(layout.exchange)]},
          {"micro_batches", layout.micro_batches},
          {"balance", layout.balance == Balance::Balanced ? "balanced" : "none"},
          {"redundant_experts", layout.redundant_experts}};
}

Json json_of(const std::vector<std::pair<const char*, double>>& gains) {
  Json json = Json::array();
  for (const auto& [figure, share] : gains) json.push_back({{"figure", figure}, {"time_saved_share", share}});
  return json;
}

Json json_of(const StepTime& time) {
  Json seconds = Json::object();
  for (std::size_t i = 0; i < terms; ++i) seconds[name_of(static_cast<Term>(i))] = time.seconds_of[i];
  seconds["hidden"] = time.hidden_seconds;
  return seconds;
}

Json json_of(const PhasePlan& phase, const Plan& plan, const Work& work, WorkPart part) {
  return {{"groups", phase.groups},
          {"layout", json_of(phase.layout)},
          {"rows_per_gpu", phase.rows_per_gpu},
          {"step_seconds", phase.rate.time.seconds()},
          {"tokens_per_second_per_gpu", phase.rate.tokens_per_second},
          {"sequences_that_fit_per_gpu", phase.rate.room},
          {"seconds_of_terms", json_of(phase.rate.time)},
          {"bound", bound_of(plan, work, part)},
          {"saved_by_20_percent_more", json_of(sensitivities(plan, work, part))}};
}

Json json_of(const HoursOf& hours) {
  return {{"prefill", hours.prefill()},      {"of_prefill_for_cached_positions", hours.cached},
          {"decode", hours.decode},          {"idle_last_sequences", hours.tail},
          {"idle_other_phase", hours.roles}, {"load", hours.load}};
}

Json json_of(const MillionPrices& prices) {
  return {{"computed_input", prices.computed},
          {"cached_input", prices.cached},
          {"input", prices.input},
          {"output", prices.output},
          {"everything", prices.all}};
}

// What every row of the tables has.
Json brief_of(const Report& report, const Plan& plan) {
  const Band band = band_of(plan, report.checked);
  Json json = {{"hardware", plan.hardware->name},
               {"gpus", plan.gpus},
               {"hours", plan.hours},
               {"gpu_hours", plan.gpu_hours()},
               {"cost", plan.is_priced ? Json(plan.cost()) : Json()},
               {"cost_low", plan.is_priced ? Json(plan.cost() * band.low) : Json()},
               {"cost_high", plan.is_priced ? Json(plan.cost() * band.high) : Json()},
               {"currency", plan.is_priced ? Json(currency_of(report.question, plan)) : Json()},
               {"unchecked", band.unchecked},
               {"tokens_per_second_per_user", plan.user_tokens_per_second},
               {"phases_apart", plan.is_split}};
  for (const auto& [name, phase] : {std::pair("prefill", &plan.prefill), {"decode", &plan.decode}})
    json[name] = {{"groups", phase->groups}, {"gpus_per_group", phase->layout.gpus}};
  return json;
}

Json price_of(const Report& report, const Plan& plan) {
  if (!plan.is_priced) return {};
  const bool is_asked = report.question.hour_price.has_value();
  return {{"per_gpu_hour", plan.gpu_hour_price},
          {"currency", currency_of(report.question, plan)},
          {"date", is_asked ? Json() : Json(plan.hardware->price->date)},
          {"source", is_asked ? "as asked" : plan.hardware->price->source}};
}

Json best_of(const Report& report) {
  const Plan& plan = report.search.plans.front();
  const Work& work = report.question.work;
  Json json = brief_of(report, plan);
  json["speed"] = speed_text(plan);
  json["price"] = price_of(report, plan);
  json["precision"] = {{"weights", name_of(plan.precision.weights)},
                       {"projections", name_of(plan.precision.projections)},
                       {"cache", plan.precision.cache == CacheFormat::Fp8 ? "fp8" : "bf16"}};
  json["prefill"] = json_of(plan.prefill, plan, work, WorkPart::Prompts);
  json["decode"] = json_of(plan.decode, plan, work, WorkPart::Answers);
  json["bound"] = bound_of(plan, work);
  json["saved_by_20_percent_more"] = json_of(sensitivities(plan, work));
  json["gpu_hours_of"] = json_of(hours_of(plan, work));
  json["energy_kwh"] =
      plan.hardware->power_watts ? Json(plan.gpu_hours() * *plan.hardware->power_watts / 1000) : Json();
  json["price_per_million_tokens"] = plan.is_priced ? json_of(million_prices(plan, work)) : Json();
  json["parallel"] = parallel_block(plan);
  json["launch"] = launch_line(plan);
  if (report.detail == Detail::Explained) json["explanation"] = explanation(plan, work);
  return json;
}

Json json_of(const PlanCurve& curve) {
  Json points = Json::array();
  for (const PlanCurvePoint& p : curve.points) {
    Json point = {{unit_of(curve.axis), p.value}, {"possible", p.plan.has_value()}};
    if (p.plan) {
      point["gpus"] = p.plan->gpus, point["gpus_per_group"] = p.plan->decode.layout.gpus;
      point["sequences_per_gpu"] = p.plan->decode.rows_per_gpu, point["sequences_that_fit_per_gpu"] = p.batch_limit;
      point["hours"] = p.plan->hours, point["tokens_per_second_per_user"] = p.plan->user_tokens_per_second;
      point["price_per_million_tokens"] = json_of(p.prices);
      point["bound_of_answers"] = p.answers_bound, point["bound_of_prompts"] = p.prompts_bound;
    }
    points.push_back(std::move(point));
  }
  return {{"curve", name_of(curve.axis)},
          {"unit", unit_of(curve.axis)},
          {"hardware", curve.machine},
          {"currency", curve.currency.empty() ? Json() : Json(curve.currency)},
          {"about", curve.about},
          {"notes", curve.notes},
          {"points", points}};
}

Json json_of(const std::vector<Checked>& checked) {
  Json points = Json::array();
  for (const Checked& one : checked)
    points.push_back({{"id", one.point.id},
                      {"family", one.family},
                      {"workload", name_of(one.point.workload)},
                      {"published_tokens_per_second_per_gpu", one.point.published},
                      {"predicted_tokens_per_second_per_gpu", one.rate.tokens_per_second},
                      {"error", one.error()}});
  return points;
}

}  // namespace

std::string answer_json(const Report& report) {
  const bool answered = !report.search.plans.empty();
  Json json = {{"version", 1}, {"kind", "plan"}};
  json["answer"] = answered ? Json(best_text(report.question, report.search, report.checked)) : Json();
  json["question"] = json_of(report.question);
  json["best"] = answered ? best_of(report) : Json();
  for (const auto& [name, plans] : {std::pair("plans", &report.search.plans),
                                    {"beyond_limits", &report.search.beyond},
                                    {"imagined", &report.imagined}}) {
    json[name] = Json::array();
    for (const Plan& plan : *plans) json[name].push_back(brief_of(report, plan));
  }
  json["left_out"] = Json::array();
  for (const auto& [reason, layouts] : report.search.left_out)
    json["left_out"].push_back({{"reason", reason},
                                {"layouts", layouts.size()},
                                {"list", report.listing == Listing::All ? Json(layouts) : Json::array()}});
  json["ceiling"] = report.ceiling.substr(0, report.ceiling.find_last_not_of('\n') + 1);
  json["notes"] = report.notes;
  json["would"] = Json::array();
  for (const auto& [name, line] : report.easier) json["would"].push_back({{"change", name}, {"answer", line}});
  json["curves"] = Json::array();
  for (const PlanCurve& curve : report.curves) json["curves"].push_back(json_of(curve));
  json["check"] = json_of(report.checked);
  return json.dump(2) + "\n";
}

}  // namespace moemill::estimate
