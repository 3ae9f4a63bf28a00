// Ids of prompts. An id names one row of the run, in its seeds, its outputs and in tables that are joined with them.
// Used by PromptFile for columns of ids.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataset/prompts/prompts.hpp"

namespace moemill::dataset {

// Reads rows, of which only the ids are used.
using ReadIds = std::function<std::vector<Prompt>(std::uint64_t first, std::uint64_t count)>;

// UserError when a text id is empty, or two of the `rows` rows have the same id. Reads them at most twice and keeps one
// number per row. `place` is the column, for the message.
void check_unique_ids(std::uint64_t rows, const std::string& place, const ReadIds& read);

}  // namespace moemill::dataset
