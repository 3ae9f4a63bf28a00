// Measured seconds over a size, such as the rows of a step: what a calibration is made of. Between two measured sizes
// the seconds are interpolated linearly, so that a measured size gives its measured seconds; beyond the last one they
// grow as between the last two; below the first one they are the first one's.
#pragma once

#include <vector>

namespace moemill::calibration {

class Curve {
 public:
  struct Point {
    double size = 0;
    double seconds = 0;
  };
  // Sizes ascend, no two are the same, and there is at least one.
  explicit Curve(std::vector<Point> points);
  Curve() : Curve({{0, 0}}) {}

  double at(double size) const;
  const std::vector<Point>& points() const { return points_; }
  Curve times(double factor) const;  // all seconds

 private:
  std::vector<Point> points_;
};

}  // namespace moemill::calibration
