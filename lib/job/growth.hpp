// What to say of a run that is started again with more than it had: that --extend takes it, or why it does not. Used by
// run_setup.
#pragma once

#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/run_dir.hpp"

namespace moemill::mill {

// That --extend takes the change, where it is one that only grows; else "". `keys` differ between the two settings;
// `columns` is changed_columns() of the same number of prompts.
std::string growth_advice(const RunConfig& before, const RunConfig& now, const std::vector<std::string>& keys,
                          const std::string& columns);
// What is known of prompts that are no longer those the run began with: the columns, and how to find the row.
std::string differing_prompts(const dataset::RunManifest& manifest, const dataset::PromptFile& prompts);

}  // namespace moemill::mill
