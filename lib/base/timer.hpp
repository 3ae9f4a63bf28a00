// Adds the wall-clock seconds of a scope to a counter. Used by layers and benchmarks for their time totals.
#pragma once

#include "base/clock.hpp"

namespace moemill {

class ScopeTimer {
 public:
  explicit ScopeTimer(double& seconds) : seconds_(seconds) {}
  ~ScopeTimer() { seconds_ += now_seconds() - start_; }
  ScopeTimer(const ScopeTimer&) = delete;
  ScopeTimer& operator=(const ScopeTimer&) = delete;

 private:
  double& seconds_;
  const double start_ = now_seconds();
};

}  // namespace moemill
