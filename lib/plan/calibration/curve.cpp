#include "plan/calibration/curve.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace moemill::calibration {

Curve::Curve(std::vector<Point> points) : points_(std::move(points)) {
  const auto does_not_ascend = [](const Point& a, const Point& b) { return a.size >= b.size; };
  expect(!points_.empty() && std::adjacent_find(points_.begin(), points_.end(), does_not_ascend) == points_.end(),
         "a curve has points of ascending sizes");
}

double Curve::at(double size) const {
  if (size <= points_.front().size || points_.size() == 1) return points_.front().seconds;
  const auto is_smaller = [](const Point& point, double wanted) { return point.size < wanted; };
  auto above = std::lower_bound(points_.begin(), points_.end(), size, is_smaller);
  if (above == points_.end()) --above;
  const Point &low = above[-1], &high = *above;
  const double seconds = low.seconds + (high.seconds - low.seconds) * (size - low.size) / (high.size - low.size);
  return std::max(seconds, 0.0);  // noise may let the last two points fall
}

Curve Curve::times(double factor) const {
  std::vector<Point> points = points_;
  for (Point& point : points) point.seconds *= factor;
  return Curve(std::move(points));
}

}  // namespace moemill::calibration
