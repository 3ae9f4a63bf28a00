#include "plan/answer/band.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace moemill::estimate {
namespace {

constexpr std::size_t fewest_points = 3;  // below, their errors say little about others
constexpr double fewest_rows = 16;        // per GPU: below, kernel starts and latencies decide
constexpr double unchecked_factor = 1.5;
constexpr double calibrated_error = 0.1;  // what plans by a machine's own calibration aim at

double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

bool is_like(const Plan& plan, const Checked& one) {
  return one.family == plan.hardware->family && (one.point.workload == Workload::Queued) != plan.is_split;
}

}  // namespace

Band band_of(const Plan& plan, const std::vector<Checked>& checked) {
  if (plan.hardware->measured) return {1 - calibrated_error, 1 + calibrated_error, ""};
  std::vector<double> ratios;
  Band band;
  for (const Checked& one : checked)
    if (is_like(plan, one)) ratios.push_back(1 + one.error());
  if (ratios.size() < fewest_points) {
    band.unchecked = fmt::format("too few published points of {} with these phases", plan.hardware->family);
    ratios.clear();
    for (const Checked& one : checked) ratios.push_back(1 + one.error());
  }
  if (plan.decode.rows_per_gpu < fewest_rows) band.unchecked = fmt::format("fewer than {:.0f} rows a GPU", fewest_rows);
  std::sort(ratios.begin(), ratios.end());
  if (!ratios.empty())
    band.low = std::min(1.0, quantile(ratios, 0.1)), band.high = std::max(1.0, quantile(ratios, 0.9));
  if (!band.unchecked.empty()) band.low /= unchecked_factor, band.high *= unchecked_factor;
  return band;
}

}  // namespace moemill::estimate
