// Ids of prompts: each names one row of the run, in its seeds, its outputs and whatever joins them to other tables.
// Used by PromptFile for columns of ids.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataset/prompts/prompts.hpp"

namespace moemill::dataset {

// Some rows, of which the ids count.
using ReadIds = std::function<std::vector<Prompt>(std::uint64_t first, std::uint64_t count)>;

// UserError where a text id of `rows` rows is empty, or two rows have the same one. Goes over them twice at most, and
// holds a number for each. `place` is the column, for the message.
void check_unique_ids(std::uint64_t rows, const std::string& place, const ReadIds& read);

}  // namespace moemill::dataset
