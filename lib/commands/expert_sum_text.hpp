// A line about how experts' outputs are summed (model.expert_sum), for the commands that say what a run would do.
#pragma once

#include <string>

#include "model/config.hpp"

namespace moemill::mill {

// "" for a model that leaves no choice, because its router has no groups.
std::string expert_sum_text(const model::ModelConfig& config);

}  // namespace moemill::mill
