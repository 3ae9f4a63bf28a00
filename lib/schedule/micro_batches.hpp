// How many micro-batches a step has. With two, one half is computed while the rows of the other travel, but a matrix
// product has half the rows, so that weights are read twice. Which costs less depends on model, link and rows, so it is
// measured. Every rank of an expert domain asks a rule of its own once a step. The rule follows from what it is told
// alone: ranks that tell it the same get the same answers. It allocates nothing.
//
// Steps are classed by phase and by rows, a power of two of them. In a class, a step with one micro-batch and a step
// with two that follow each other make a pair, and the pair a ratio: seconds per row with two over seconds per row with
// one. What both have in common (the machine, the lengths of sequences) cancels. First the two take turns, for 8 to 18
// steps, fewer where one is clearly faster; the first step of each kind may touch memory for the first time and counts
// for nothing. Then the faster is kept by the median of the last 16 ratios, and the 32nd and every 64th step is one of
// the other kind, which makes two new ratios. Where the difference is below 2 % nothing changes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "schedule/facts.hpp"

namespace moemill::schedule {

// The share by which the other number must be faster to be taken.
inline constexpr double least_micro_batch_gain = 0.02;

// A step on one rank, and on all of a domain: the longest time, the most rows.
struct StepTime {
  double seconds = 0;  // 0 if there was none
  std::uint32_t rows = 0;

  void cover(const StepTime& other) { seconds = std::max(seconds, other.seconds), rows = std::max(rows, other.rows); }
};

class MicroBatchRule {
 public:
  // `wanted`: parallel.micro_batches. Nothing: the rule decides, unless a rank is alone.
  MicroBatchRule(std::optional<std::uint32_t> wanted, std::uint32_t domain_ranks)
      : wanted_(!wanted && domain_ranks == 1 ? std::optional<std::uint32_t>(1) : wanted) {}

  // What the step that was chosen for last took.
  void took(const StepTime& slowest);
  // For the step of `decision`, which follows from these facts.
  std::uint32_t choose(const Decision& decision, std::span<const Facts> facts);
  // The same for a step whose phase and rows, of the rank with most, are known.
  std::uint32_t choose(Phase phase, std::uint32_t rows);

  // Whether the class of the last choice has been tried enough.
  bool is_settled() const;

 private:
  static constexpr std::size_t ratios_kept = 16;
  struct Class {
    std::uint32_t kept = 1;
    std::uint32_t steps = 0;
    std::array<bool, 2> warm{};  // whether there was a step with one, with two
    std::uint32_t last = 0;      // the choice for the step before
    double last_cost = 0;        // its seconds per row, or 0 if it counts for nothing
    std::uint64_t count = 0;     // ratios so far
    std::array<float, ratios_kept> ratios{};

    void add(std::uint32_t micro_batches, double cost);
    float median() const;
    bool is_settled() const;
  };
  // Steps of up to 1, 2, 4, ... rows in the two phases that take a step.
  static constexpr std::size_t widths = 33;

  std::optional<std::uint32_t> wanted_;
  std::array<Class, 2 * widths> classes_;
  std::optional<std::size_t> asked_;  // the class of the last choice, if it was one
  std::uint32_t chosen_ = 1;          // the last choice
};

// The most that a step may have in an expert domain of so many ranks. A rank alone waits for nobody.
inline std::uint32_t most_micro_batches(std::optional<std::uint32_t> wanted, std::uint32_t domain_ranks) {
  return wanted.value_or(domain_ranks > 1 ? 2 : 1);
}

}  // namespace moemill::schedule
