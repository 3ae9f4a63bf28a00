// Reads the "pattern" of Split and Replace: {"Regex": ...} or {"String": ...}. Used by the normalizer, the
// pre-tokenizer and the decoder.
#pragma once

#include "text/files/json_file.hpp"
#include "text/regex/regex.hpp"

namespace moemill::text {

Regex read_pattern(const Place& place);

// `text` with every match replaced by `content`.
std::string replace_all(std::string_view text, const Regex& pattern, std::string_view content, RegexScratch& scratch);

}  // namespace moemill::text
