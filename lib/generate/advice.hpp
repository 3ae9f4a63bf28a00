// What a user should know before the job because model and settings hardly mean the same: where answers end, and what
// the publisher recommends. One sentence each, for validate, preview and run.
#pragma once

#include <string>
#include <vector>

#include "generate/model_folder.hpp"

namespace moemill::mill {

std::vector<std::string> advice_on_endings(const ModelFolder& model, const RunConfig& config);
// The same of stop strings that rows have as a column.
std::vector<std::string> advice_on_row_stops(const ModelFolder& model, const RunConfig& config,
                                             const dataset::PromptFile& prompts);
std::vector<std::string> advice_on_sampling(const RunConfig& config);

}  // namespace moemill::mill
