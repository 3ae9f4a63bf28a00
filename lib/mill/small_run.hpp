// Generates a few prompts in memory on this process alone: under preview and replay. The same rows that a run makes,
// because both go through Generator.
#pragma once

#include <vector>

#include "dataset/prompts.hpp"
#include "mill/engine.hpp"
#include "mill/loaded_model.hpp"

namespace moemill::mill {

struct SmallJob {
  PreparedPrompt prompt;               // without fault
  std::vector<std::uint32_t> samples;  // to make
};
GeneratedRows generate_alone(const RunConfig& config, const ModelFolder& model, const std::vector<SmallJob>& jobs);

}  // namespace moemill::mill
