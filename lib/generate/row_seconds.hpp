// How long the rows of a run took, each from the step that made its first token to its end. The generator counts; the
// summary and metrics.jsonl report. Nothing in the datasets depends on it.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "system/comm/comm.hpp"

namespace moemill::mill {

// Counts in buckets, each 9 % wider than the one before: 1 ms to 50 days.
class RowSeconds {
 public:
  void add(double seconds);
  RowSeconds& operator+=(const RowSeconds& other);
  std::uint64_t rows() const;
  // The upper end of the bucket that contains this quantile, at most the longest time.
  double quantile(double share) const;
  double longest() const { return longest_; }
  // Sums over all ranks; collective.
  RowSeconds over_ranks(const Comm& world) const;

  // p50, p90, p99, max; null if there are no rows.
  nlohmann::ordered_json summary() const;
  // The same with the counts, from which a later attempt computes the run's sum.
  nlohmann::ordered_json whole() const;
  static RowSeconds from(const nlohmann::json& whole);  // ignores malformed values

 private:
  static constexpr std::size_t buckets = 256;
  std::array<std::uint64_t, buckets> counts_{};
  double longest_ = 0;
};

}  // namespace moemill::mill
