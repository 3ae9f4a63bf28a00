#include "schedule/micro_batches.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace moemill::schedule {
namespace {

constexpr std::uint32_t steps_between_trials = 64;
// How many ratios settle a class: few where the difference is clear.
constexpr std::uint64_t ratios_at_least = 5, ratios_at_most = 15;
constexpr float clear_difference = 0.10f;
constexpr float hysteresis = least_micro_batch_gain;

std::uint32_t rows_of(const Facts& facts, const Decision& decision) {
  if (decision.phase != Phase::Prefill) return facts.generated_rows;
  return std::min(facts.generated_rows + facts.prompt_rows, std::max(decision.row_limit, facts.generated_rows));
}

}  // namespace

void MicroBatchRule::Class::add(std::uint32_t micro_batches, double cost) {
  if (!std::exchange(warm[micro_batches - 1], true)) cost = 0;
  if (cost > 0 && last_cost > 0 && last != micro_batches) {
    const double ratio = micro_batches == 2 ? cost / last_cost : last_cost / cost;
    ratios[count % ratios_kept] = static_cast<float>(ratio);
    ++count;
    if (kept == 1 ? median() < 1 - hysteresis : median() > 1 + hysteresis) kept = 3 - kept;
  }
  last = micro_batches;
  last_cost = cost;
}

float MicroBatchRule::Class::median() const {
  std::array<float, ratios_kept> sorted = ratios;
  const auto known = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(count, ratios_kept));
  const auto middle = sorted.begin() + known / 2;
  std::nth_element(sorted.begin(), middle, sorted.begin() + known);
  return *middle;
}

bool MicroBatchRule::Class::is_settled() const {
  if (count >= ratios_at_most) return true;
  if (count < ratios_at_least) return false;
  const float ratio = median();
  return ratio < 1 - clear_difference || ratio > 1 + clear_difference;
}

std::uint32_t MicroBatchRule::choose(Phase phase, std::uint32_t rows) {
  asked_.reset();
  if (wanted_) return chosen_ = *wanted_;
  if (rows < 2) return chosen_ = 1;
  asked_ = static_cast<std::size_t>(std::bit_width(rows)) + (phase == Phase::Prefill ? widths : 0);
  Class& c = classes_[*asked_];
  ++c.steps;
  if (!c.is_settled()) return chosen_ = c.last == 1 ? 2 : 1;
  const bool is_trial = c.steps % steps_between_trials == 0 || c.steps == steps_between_trials / 2;
  return chosen_ = is_trial ? 3 - c.kept : c.kept;
}

void MicroBatchRule::took(const StepTime& slowest) {
  if (asked_ && slowest.seconds > 0 && slowest.rows > 0) classes_[*asked_].add(chosen_, slowest.seconds / slowest.rows);
  asked_.reset();
}

bool MicroBatchRule::is_settled() const { return !asked_ || classes_[*asked_].is_settled(); }

std::uint32_t MicroBatchRule::choose(const Decision& decision, std::span<const Facts> facts) {
  std::uint32_t rows = 0;
  for (const Facts& f : facts) rows = std::max(rows, rows_of(f, decision));
  return takes_a_step(decision.phase) ? choose(decision.phase, rows) : 1;
}

}  // namespace moemill::schedule
