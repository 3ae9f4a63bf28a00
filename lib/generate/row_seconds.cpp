#include "generate/row_seconds.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "base/text/json_values.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {
namespace {

constexpr double first_end = 0.001;  // seconds
constexpr double buckets_an_octave = 8;

double end_of(std::size_t bucket) { return first_end * std::exp2(static_cast<double>(bucket) / buckets_an_octave); }

}  // namespace

void RowSeconds::add(double seconds) {
  const double bucket = std::ceil(buckets_an_octave * std::log2(std::max(seconds, first_end) / first_end));
  ++counts_[std::min(static_cast<std::size_t>(bucket), buckets - 1)];
  longest_ = std::max(longest_, seconds);
}

RowSeconds& RowSeconds::operator+=(const RowSeconds& other) {
  for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
  longest_ = std::max(longest_, other.longest_);
  return *this;
}

std::uint64_t RowSeconds::rows() const { return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0}); }

double RowSeconds::quantile(double share) const {
  const double wanted = share * static_cast<double>(rows());
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    seen += counts_[i];
    if (seen > 0 && static_cast<double>(seen) >= wanted) return std::min(end_of(i), longest_);
  }
  return longest_;
}

RowSeconds RowSeconds::over_ranks(const Comm& world) const {
  RowSeconds all;
  const std::vector<std::uint64_t> counts = sum_counts(world, counts_);
  std::copy(counts.begin(), counts.end(), all.counts_.begin());
  const std::vector<double> longest = gather(world, longest_);
  all.longest_ = *std::max_element(longest.begin(), longest.end());
  return all;
}

nlohmann::ordered_json RowSeconds::summary() const {
  if (rows() == 0) return {{"p50", nullptr}, {"p90", nullptr}, {"p99", nullptr}, {"max", nullptr}};
  return {{"p50", quantile(0.5)}, {"p90", quantile(0.9)}, {"p99", quantile(0.99)}, {"max", longest_}};
}

nlohmann::ordered_json RowSeconds::whole() const {
  nlohmann::ordered_json j = summary();
  j["counts"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < buckets; ++i)
    if (counts_[i] > 0) j["counts"].push_back({end_of(i), counts_[i]});
  return j;
}

RowSeconds RowSeconds::from(const nlohmann::json& whole) {
  RowSeconds found;
  if (!whole.is_object() || !whole.contains("counts") || !whole["counts"].is_array()) return found;
  for (const auto& pair : whole["counts"]) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number() || !pair[1].is_number_unsigned()) continue;
    const double end = pair[0].get<double>();
    if (!(end > 0)) continue;
    const double bucket = std::round(buckets_an_octave * std::log2(std::max(end, first_end) / first_end));
    found.counts_[std::min(static_cast<std::size_t>(std::min(bucket, 1e6)), buckets - 1)] +=
        std::min(pair[1].get<std::uint64_t>(), std::uint64_t{1} << 50);
  }
  found.longest_ = std::max(0.0, json_value_or(whole, "max", 0.0));
  return found;
}

}  // namespace moemill::mill
