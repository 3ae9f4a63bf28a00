#include "plan/answer/curve.hpp"

#include <fmt/format.h>

#include <fmt/ranges.h>
#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.hpp"
#include "base/text/edit_distance.hpp"
#include "plan/answer/bound.hpp"
#include "plan/answer/words.hpp"

namespace moemill::estimate {
namespace {

struct AxisRow {
  Axis axis;
  const char* name;
  const char* unit;
  const char* about;
};
constexpr AxisRow axis_rows[] = {
    {Axis::Batch, "batch", "sequences_per_gpu", "the best plan's GPUs and group size, the rest is free"},
    {Axis::Gpus, "gpus", "gpus", "one group of all GPUs, the rest is free"},
    {Axis::Speed, "speed", "least_tokens_per_second_per_user",
     "the cheapest of all numbers of GPUs that were asked for"},
    {Axis::Context, "context", "prompt_tokens", "prompts of equal lengths on the best plan's GPUs, the rest is free"},
    {Axis::Network, "network", "gbytes_per_second", "the best plan's GPUs and group size, the rest is free"},
    {Axis::Price, "price", "price_per_hour", "the best plan's GPUs, the rest is free"},
};

constexpr double most_batch = 65536;

const AxisRow& axis_row(Axis axis) { return axis_rows[static_cast<std::size_t>(axis)]; }

// Ranks that a price is of: a CPU node has one price.
double priced_ranks(const Plan& plan) { return plan.hardware->measured ? plan.hardware->gpus_per_node : 1; }

class CurveMaker {
 public:
  CurveMaker(const Question& question, const Plan& best, Catalog& catalog)
      : question_(question), best_(best), catalog_(catalog) {
    question_.hardware = {best.hardware->name};
    catalog_.add(Hardware(*best.hardware));  // a file's machine also by its name
  }

  std::vector<PlanCurvePoint> points(Axis axis) {
    if (axis != Axis::Speed) question_.gpus = {best_.gpus}, question_.nodes.clear();
    switch (axis) {
      case Axis::Batch: return over_batch();
      case Axis::Gpus: return over_gpus();
      case Axis::Speed: return over_speed();
      case Axis::Context: return over_context();
      case Axis::Network: return over_network();
      case Axis::Price: break;
    }
    return over_price();
  }

 private:
  PlanCurvePoint point(const Question& question, double value) {
    PlanCurvePoint point;
    point.value = value;
    Search search = search_plans(question, catalog_);
    if (search.plans.empty()) return point;
    Plan plan = std::move(search.plans.front());
    point.batch_limit = plan.decode.rate.room;
    if (!plan.is_priced) plan.gpu_hour_price = 1;
    point.prices = million_prices(plan, question.work);
    point.answers_bound = bound_of(plan, question.work, WorkPart::Answers);
    point.prompts_bound = bound_of(plan, question.work, WorkPart::Prompts);
    point.plan = std::move(plan);
    return point;
  }

  std::vector<PlanCurvePoint> over_batch() {
    question_.limits = {};
    question_.group = best_.decode.layout.gpus;
    std::vector<PlanCurvePoint> points;
    const auto add = [&](double batch) {
      question_.sequences_per_gpu = batch;
      points.push_back(point(question_, batch));
      return points.back().plan.has_value();
    };
    const double share = std::max(1.0, std::floor(question_.work.prompts / best_.gpus));  // more there are not
    double batch = 1;
    while (batch < std::min(most_batch, share) && add(batch)) batch *= 2;
    if (points.empty() || points.back().plan) add(batch = std::min({batch, most_batch, share}));
    if (points.size() < 2 || points.back().plan) return points;
    points.pop_back();
    // Where memory ends: the most that any layout of this group has room for.
    double low = points.back().value, high = batch;
    while (high - low > 1) {
      question_.sequences_per_gpu = std::floor((low + high) / 2);
      (search_plans(question_, catalog_).plans.empty() ? high : low) = *question_.sequences_per_gpu;
    }
    if (low > points.back().value) add(low);
    return points;
  }

  std::vector<PlanCurvePoint> over_gpus() {
    std::vector<PlanCurvePoint> points;
    for (std::uint32_t gpus : group_sizes) {
      question_.gpus = {gpus}, question_.group = gpus;
      points.push_back(point(question_, gpus));
    }
    return points;
  }

  std::vector<PlanCurvePoint> over_speed() {
    std::vector<PlanCurvePoint> points;
    for (double speed : {0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 75.0, 100.0}) {
      question_.limits.tokens_per_second_per_user = speed;
      points.push_back(point(question_, speed));
    }
    return points;
  }

  std::vector<PlanCurvePoint> over_context() {
    std::vector<PlanCurvePoint> points;
    for (double tokens = 256; tokens <= 1 << 20; tokens *= 2) {
      question_.work.input = equal_lengths(tokens);
      if (question_.work.longest_tokens() > best_.model->max_positions) break;
      points.push_back(point(question_, tokens));
    }
    return points;
  }

  std::vector<PlanCurvePoint> over_network() {
    std::vector<PlanCurvePoint> points;
    question_.group = best_.decode.layout.gpus;
    for (double gbytes : {12.5, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0}) {
      Hardware machine = *best_.hardware;
      machine.network_bytes_per_second = gbytes * 1e9;
      machine.name += fmt::format(", network {} GB/s", gbytes);
      catalog_.add(machine);
      question_.hardware = {machine.name};
      points.push_back(point(question_, gbytes));
    }
    return points;
  }

  std::vector<PlanCurvePoint> over_price() {
    std::vector<PlanCurvePoint> points;
    const double now = best_.is_priced && best_.gpu_hour_price > 0 ? best_.gpu_hour_price * priced_ranks(best_) : 2;
    if (!question_.hour_price && best_.is_priced) question_.currency = best_.hardware->price->currency;
    for (double factor : {0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0}) {
      question_.hour_price = now * factor;
      points.push_back(point(question_, now * factor));
    }
    return points;
  }

  Question question_;
  const Plan best_;
  Catalog& catalog_;
};

std::string point_text(const PlanCurvePoint& p) {
  const std::string value = p.value >= 10 ? fmt::format("{:.6g}", p.value) : fmt::format("{:.3g}", p.value);
  if (!p.plan) return fmt::format("  {:>8}  no layout can do this\n", value);
  const Plan& plan = *p.plan;
  return fmt::format("  {:>8} {:>6} {:>8} {:>7.0f}{} {:>9} {:>9.4g} {:>9.4g} {:>8.1f}  {:<24} {}\n", value, plan.gpus,
                     group_text(plan.decode.layout), plan.decode.rows_per_gpu, p.memory_ends() ? "*" : " ",
                     hours_text(plan.hours), p.prices.output, p.prices.all, plan.user_tokens_per_second,
                     p.answers_bound, p.prompts_bound);
}

// Answers are cheaper the larger the batch, but its last sequences leave more GPUs idle.
std::vector<std::string> cheapest_batch(const std::vector<PlanCurvePoint>& points, const Work& work) {
  const PlanCurvePoint *cheapest = nullptr, *largest = nullptr;
  for (const PlanCurvePoint& point : points) {
    if (!point.plan) continue;
    largest = &point;
    if (!cheapest || point.prices.all < cheapest->prices.all) cheapest = &point;
  }
  if (cheapest == largest) return {};
  const auto idle = [&](const PlanCurvePoint& point) {
    const HoursOf hours = hours_of(*point.plan, work);
    return money(hours.tail + hours.roles);
  };
  return {fmt::format(
      "cheapest in all is {:g}: there {} GPU-hours are idle for the last sequences and the other phase, at {:g} {}",
      cheapest->value, idle(*cheapest), largest->value, idle(*largest))};
}

// Prices of an hour at which the best plan costs as much as the cheapest one of another machine, or as the budget.
std::vector<std::string> break_evens(const Question& question, const std::vector<Plan>& plans, const Plan& best) {
  std::vector<std::string> notes;
  const std::string unit = best.hardware->measured ? "node" : "GPU";
  const auto price = [&](double cost) { return money(cost / best.gpu_hours() * priced_ranks(best)); };
  std::set<std::string> seen{best.hardware->name};
  for (const Plan& plan : plans) {
    if (question.hour_price || !plan.is_priced || !seen.insert(plan.hardware->name).second) continue;
    notes.push_back(fmt::format("break-even: at {} {} a {}-hour it costs as much as {}, {} {} on {} GPUs",
                                price(plan.cost()), currency_of(question, plan), unit, plan.hardware->name,
                                money(plan.cost()), currency_of(question, plan), plan.gpus));
  }
  if (question.limits.budget)
    notes.push_back(fmt::format("break-even: at {} a {}-hour it costs the budget of {}", price(*question.limits.budget),
                                unit, money(*question.limits.budget)));
  if (notes.empty()) notes.push_back("break-even: none to name without a second machine with a price, or a budget");
  return notes;
}

}  // namespace

bool PlanCurvePoint::memory_ends() const { return plan && plan->decode.rows_per_gpu >= batch_limit; }

const char* name_of(Axis axis) { return axis_row(axis).name; }
const char* unit_of(Axis axis) { return axis_row(axis).unit; }

const std::vector<std::string>& axis_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const AxisRow& row : axis_rows) all.push_back(row.name);
    return all;
  }();
  return names;
}

Axis axis_named(const std::string& name) {
  for (const AxisRow& row : axis_rows)
    if (name == row.name) return row.axis;
  const std::string near = likely_name(name, axis_names());
  user_error("--curve {}: is no curve{}; there are {} and all", name,
             near.empty() ? "" : fmt::format(", did you mean '{}'?", near), fmt::join(axis_names(), ", "));
}

PlanCurve curve_of(Axis axis, const Question& question, const std::vector<Plan>& plans, const Plan& best,
                   Catalog& catalog) {
  PlanCurve curve;
  curve.axis = axis, curve.machine = best.hardware->name, curve.about = axis_row(axis).about;
  if (best.is_priced) curve.currency = currency_of(question, best);
  curve.points = CurveMaker(question, best, catalog).points(axis);
  if (axis == Axis::Batch) curve.notes = cheapest_batch(curve.points, question.work);
  if (axis == Axis::Price) curve.notes = break_evens(question, plans, best);
  return curve;
}

std::string curve_text(const PlanCurve& curve) {
  const std::string money = curve.currency.empty() ? "GPU-h" : curve.currency;
  std::string text =
      fmt::format("curve over {} ({}), {}: {}\n", name_of(curve.axis), unit_of(curve.axis), curve.machine, curve.about);
  text += fmt::format("  {:>8} {:>6} {:>8} {:>7}  {:>9} {:>9} {:>9} {:>8}  {:<24} {}\n", name_of(curve.axis), "GPUs",
                      "group", "batch", "time", money + "/M out", money + "/M all", "a user", "bound of answers",
                      "bound of prompts");
  const PlanCurvePoint* before = nullptr;
  std::string changes;
  bool any_end = false;
  for (const PlanCurvePoint& point : curve.points) {
    text += point_text(point);
    any_end = any_end || point.memory_ends();
    if (!point.plan) continue;
    if (before && std::string_view(before->answers_bound) != point.answers_bound)
      changes += fmt::format("  the bound of answers changes between {:g} and {:g}: {}, then {}\n", before->value,
                             point.value, before->answers_bound, point.answers_bound);
    before = &point;
  }
  if (any_end) text += "  * memory has room for no larger batch\n";
  for (const std::string& note : curve.notes) text += fmt::format("  {}\n", note);
  return text + changes;
}

}  // namespace moemill::estimate
