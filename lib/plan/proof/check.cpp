#include "plan/proof/check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "plan/estimate/number_text.hpp"

namespace moemill::estimate {
namespace {

Rate rate_of(const Point& point, const Setting& setting) {
  switch (point.workload) {
    case Workload::Prefill: return prefill_rate(setting, point.prefill_rows, point.prompt_tokens);
    case Workload::Decode: return decode_rate(setting, point.decode);
    case Workload::Queued: break;
  }
  return queued_rate(setting, point.queued);
}

const char* name_of(Half half) { return half == Half::Tune ? "tune" : "test"; }

Summary summary_of(std::string group, const std::vector<Checked>& checked,
                   const std::function<bool(const Checked&)>& is_in) {
  Summary summary{std::move(group)};
  std::vector<double> errors;
  double ratios = 0;
  for (const Checked& one : checked) {
    if (!is_in(one)) continue;
    errors.push_back(std::abs(one.error()));
    summary.within_20 += errors.back() <= 0.2 ? 1 : 0;
    summary.within_30 += errors.back() <= 0.3 ? 1 : 0;
    ratios += one.error() + 1;
  }
  summary.points = static_cast<std::uint32_t>(errors.size());
  if (errors.empty()) return summary;
  std::sort(errors.begin(), errors.end());
  summary.median_error = (errors[(errors.size() - 1) / 2] + errors[errors.size() / 2]) / 2;
  summary.bias = ratios / static_cast<double>(errors.size());
  return summary;
}

// The terms in order of their seconds.
std::vector<Term> largest_terms(const StepTime& time) {
  std::vector<Term> order;
  for (std::size_t i = 0; i < terms; ++i) order.push_back(static_cast<Term>(i));
  std::stable_sort(order.begin(), order.end(), [&](Term a, Term b) { return time[a] > time[b]; });
  return order;
}

std::string terms_text(const StepTime& time) {
  std::string text;
  const std::vector<Term> order = largest_terms(time);
  for (std::size_t i = 0; i < 3; ++i)
    text += fmt::format("{}{} {:.0f} %", i > 0 ? ", " : "", estimate::name_of(order[i]), 100 * time.share(order[i]));
  return text;
}

std::string point_text(const Checked& one) {
  const Point& p = one.point;
  std::string text = fmt::format("{:<32} {:>9} {:>9} {:>+5.0f} % {}  {}\n", p.id, whole(p.published),
                                 whole(one.rate.tokens_per_second), 100 * one.error(), name_of(half_of(p.id)),
                                 terms_text(one.rate.time));
  text += fmt::format("  {} {}; {} {}, {}; {}, {}: {}; {}\n", p.date, p.source, p.hardware, p.model, p.precision_text,
                      p.layout_text, estimate::name_of(p.workload), lengths_text(p), p.counted);
  if (p.workload == Workload::Queued && one.rate.waves > 1)
    text += fmt::format("  memory has room for {:.0f} sequences a GPU: {:.0f} waves of {:.0f}\n",
                        std::floor(one.rate.room), one.rate.waves, one.rate.sequences);
  if (p.workload == Workload::Decode && one.rate.sequences > one.rate.room)
    text += fmt::format("  memory has room for {:.0f} sequences a GPU only\n", std::max(0.0, one.rate.room));
  if (!p.assumed.empty()) text += fmt::format("  assumed: {}\n", p.assumed);
  if (!p.why.empty()) text += fmt::format("  why: {}\n", p.why);
  return text;
}

nlohmann::ordered_json json_of(const Checked& one) {
  const Point& p = one.point;
  nlohmann::ordered_json seconds;
  for (std::size_t i = 0; i < terms; ++i)
    seconds[estimate::name_of(static_cast<Term>(i))] = one.rate.time.seconds_of[i];
  seconds["hidden"] = one.rate.time.hidden_seconds;
  return {{"id", p.id},
          {"half", name_of(half_of(p.id))},
          {"date", p.date},
          {"source", p.source},
          {"hardware", p.hardware},
          {"family", one.family},
          {"model", p.model},
          {"precision", p.precision_text},
          {"layout", p.layout_text},
          {"workload", estimate::name_of(p.workload)},
          {"lengths", lengths_text(p)},
          {"counted", p.counted},
          {"published_tokens_per_second_per_gpu", p.published},
          {"predicted_tokens_per_second_per_gpu", one.rate.tokens_per_second},
          {"error", one.error()},
          {"seconds", seconds},
          {"sequences_per_gpu", one.rate.sequences},
          {"sequences_that_fit_per_gpu", one.rate.room},
          {"waves", one.rate.waves},
          {"assumed", p.assumed},
          {"why", p.why}};
}

}  // namespace

Half half_of(const std::string& id) { return stable_hash64(id) % 2 == 0 ? Half::Tune : Half::Test; }

std::vector<Checked> check(const std::vector<Point>& points, Catalog& catalog) {
  std::vector<Checked> checked;
  for (const Point& point : points) {
    const Hardware& hardware = catalog.hardware(point.hardware);
    const Setting setting{catalog.model(point.model), hardware, point.precision, point.layout};
    try {
      checked.push_back({point, rate_of(point, setting), hardware.family});
    } catch (const UserError& impossible) {
      user_error("{}: {}", point.id, impossible.what());
    }
  }
  return checked;
}

std::vector<Summary> summaries(const std::vector<Checked>& checked) {
  std::vector<Summary> all;
  all.push_back(summary_of("all", checked, [](const Checked&) { return true; }));
  for (Half half : {Half::Tune, Half::Test})
    all.push_back(summary_of(name_of(half), checked, [=](const Checked& c) { return half_of(c.point.id) == half; }));
  for (Workload workload : {Workload::Prefill, Workload::Decode, Workload::Queued})
    all.push_back(summary_of(estimate::name_of(workload), checked,
                             [=](const Checked& c) { return c.point.workload == workload; }));
  std::set<std::string> families;
  for (const Checked& one : checked) families.insert(one.family);
  for (const std::string& family : families)
    all.push_back(summary_of(family, checked, [&](const Checked& c) { return c.family == family; }));
  return all;
}

std::string check_text(const std::vector<Checked>& checked) {
  std::string text = fmt::format("{:<32} {:>9} {:>9} {:>7} half  largest terms\n", "tokens/s a GPU", "published",
                                 "predicted", "error");
  for (const Checked& one : checked) text += point_text(one);
  text += fmt::format("\n{:<12} {:>6} {:>11} {:>11} {:>7} {:>6}\n", "", "points", "within 20 %", "within 30 %",
                      "median", "bias");
  for (const Summary& s : summaries(checked)) {
    if (s.points == 0) continue;
    text += fmt::format("{:<12} {:>6} {:>11} {:>11} {:>5.1f} % {:>6.2f}\n", s.group, s.points, s.within_20, s.within_30,
                        100 * s.median_error, s.bias);
  }
  return text;
}

std::string check_json(const std::vector<Checked>& checked) {
  nlohmann::ordered_json json = {{"version", 1}, {"points", nlohmann::ordered_json::array()}};
  for (const Checked& one : checked) json["points"].push_back(json_of(one));
  for (const Summary& s : summaries(checked))
    json["summary"].push_back({{"group", s.group},
                               {"points", s.points},
                               {"within_20_percent", s.within_20},
                               {"within_30_percent", s.within_30},
                               {"median_error", s.median_error},
                               {"bias", s.bias}});
  return json.dump(2) + "\n";
}

}  // namespace moemill::estimate
