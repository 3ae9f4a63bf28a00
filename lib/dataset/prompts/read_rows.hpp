// Reads prompts that do not stand together in the file. Used by the loop and by the survey of prefixes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataset/prompts/prompts.hpp"

namespace moemill::dataset {

// `rows` ascend. Those that stand near each other are read together.
std::vector<Prompt> read_rows(const PromptFile& prompts, std::span<const std::uint64_t> rows,
                              const SamplingParams& defaults);

}  // namespace moemill::dataset
