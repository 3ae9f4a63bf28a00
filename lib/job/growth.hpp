// Messages for a run that is started again with more prompts or samples than it had: that --extend accepts the change,
// or why it does not. Used by run_setup.
#pragma once

#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/run_dir.hpp"

namespace moemill::mill {

// The message that --extend accepts the change, if it only grows the run; otherwise "". `keys` differ between the two
// settings; `columns` is changed_columns() for the same number of prompts.
std::string growth_advice(const RunConfig& before, const RunConfig& now, const std::vector<std::string>& keys,
                          const std::string& columns);
// A text about prompts that differ from those the run began with: the columns, and how to find the row.
std::string differing_prompts(const dataset::RunManifest& manifest, const dataset::PromptFile& prompts);

}  // namespace moemill::mill
