// Checks the text or token ids of one prompt; an error becomes the row's fault. Used by PromptFile.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataset/prompts/prompts.hpp"

namespace moemill::dataset {

// Moves the body into the prompt, or sets its fault: empty, bad_utf8.
void take_text(std::string text, Prompt& prompt);
// The same for token ids: empty, bad_token.
void take_tokens(const std::vector<std::int64_t>& ids, Prompt& prompt);

}  // namespace moemill::dataset
