// An earlier run as a sample of the work that is asked for: `moemill plan --like RUN_DIR`.
#pragma once

#include <cstdint>
#include <string>

#include "plan/answer/lengths.hpp"

namespace moemill::mill {

// What its finished rows measured.
struct LikeRun {
  std::uint64_t rows = 0;
  double failed_fraction = 0;       // of all rows
  estimate::Lengths input, output;  // of rows that did not fail
  double cached_fraction = 0;       // of their prompt tokens: another prompt or sample had them already
  bool knows_cached = false;        // summary.json is there, which says so
};

// UserError if the folder holds no run, or no row that did not fail.
LikeRun read_like(const std::string& dir);
// One line for the answer.
std::string like_text(const LikeRun& run, const std::string& dir);

}  // namespace moemill::mill
