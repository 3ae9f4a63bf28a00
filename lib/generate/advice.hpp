// Advice before the job where settings hardly fit the model: where answers end, and what the publisher recommends. One
// sentence each, for validate, preview and run.
#pragma once

#include <string>
#include <vector>

#include "generate/model_folder.hpp"

namespace moemill::mill {

std::vector<std::string> advice_on_endings(const ModelFolder& model, const RunConfig& config);
// The same for stop strings in a column of the input.
std::vector<std::string> advice_on_row_stops(const ModelFolder& model, const RunConfig& config,
                                             const dataset::PromptFile& prompts);
std::vector<std::string> advice_on_sampling(const RunConfig& config);

}  // namespace moemill::mill
