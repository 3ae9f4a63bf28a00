// "Does it fit, and how much a rank": the memory of a job's ranks and nodes against what there is, told on stdout. Used
// by validate.
#pragma once

#include <cstdint>
#include <optional>

#include "base/run_config.hpp"
#include "model/config.hpp"
#include "plan/footprint.hpp"

namespace moemill::mill {

struct FitQuestion {
  const model::ModelConfig& model;
  const ParallelSettings& parallel;
  JobShape shape;
  std::uint64_t sequences = 0;              // the whole job's
  std::uint64_t sequence_tokens = 0;        // the longest one's, prompt and completion
  std::optional<std::uint64_t> node_bytes;  // memory of a node; absent: what is free here
};

enum class Fits { No, Yes };
// UserError when parallel.kv_cache_tokens is too little for the longest sequence.
Fits tell_fit(const FitQuestion& question);

}  // namespace moemill::mill
