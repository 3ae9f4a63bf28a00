// What a user asks `moemill plan`: so many prompts of such lengths, on these machines, within these limits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/answer/lengths.hpp"
#include "plan/estimate/precision.hpp"

namespace moemill::estimate {

struct Work {
  double prompts = 0;
  Lengths input, output;
  double cached_fraction = 0;  // of input tokens that a cache holds: they are not computed

  double computed_tokens() const { return input.mean * (1 - cached_fraction); }  // of a prompt
  // The prompt that a computed token belongs to, and those of its positions that a cache holds.
  double prompt_tokens() const { return input.of_token; }
  double cached_positions() const { return input.of_token * std::min(cached_fraction, most_cached); }
  // Positions that a generated token sees on average, and the length for which a sequence needs room.
  double context() const { return input.mean + output.of_token / 2; }
  double room_tokens() const { return input.mean + output.of_token; }
  // A prompt's last token is computed even if a cache holds all of it.
  static constexpr double most_cached = 0.999;
  // The longest sequence, as long prompts need not have long answers.
  double longest_tokens() const { return std::max(input.longest + output.mean, input.mean + output.longest); }
};

struct Limits {
  std::optional<double> tokens_per_second_per_user;  // at least; absent: bulk work, no speed asked
  std::optional<double> hours;                       // at most
  std::optional<double> budget;                      // at most, in the price's currency
};

struct Question {
  std::string model;
  std::vector<std::string> hardware;
  std::vector<std::uint32_t> gpus;          // numbers to try; empty: 1 to 64 nodes, in steps
  std::vector<std::uint32_t> nodes;         // the same in nodes
  std::optional<std::uint32_t> group;       // GPUs that share the experts for answers; absent: any
  std::optional<double> sequences_per_gpu;  // that generate at a time; absent: as many as are cheapest
  Work work;
  Limits limits;
  std::optional<Precision> precision;  // absent: as the model is published, if the machine computes in it
  std::optional<double> hour_price;    // of a GPU, in place of the machine's own
  std::string currency = "USD";        // of hour_price
};

}  // namespace moemill::estimate
