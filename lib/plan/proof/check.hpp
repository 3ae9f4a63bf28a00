// The step model against published throughputs: `moemill plan --check`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/proof/points.hpp"

namespace moemill::estimate {

// Half of the points, drawn by a hash of their ids, may be used to choose a number of the model; the other half tests
// it.
enum class Half { Tune, Test };
Half half_of(const std::string& id);

struct Checked {
  Point point;
  Rate rate;
  std::string family;                                                            // of the chip
  double error() const { return rate.tokens_per_second / point.published - 1; }  // +0.1: predicted 10 % too fast
};

// A group of points: all, a half, a workload or a family of chips.
struct Summary {
  std::string group;
  std::uint32_t points = 0, within_20 = 0, within_30 = 0;
  double median_error = 0;  // of the errors without sign
  double bias = 1;          // mean of predicted over published
};

std::vector<Checked> check(const std::vector<Point>& points, Catalog& catalog);
std::vector<Summary> summaries(const std::vector<Checked>& checked);

std::string check_text(const std::vector<Checked>& checked);
std::string check_json(const std::vector<Checked>& checked);  // version 1, units in the names

}  // namespace moemill::estimate
