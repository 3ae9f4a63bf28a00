// Added tokens that stand beside tokenizer.json, in tokenizer_config.json, added_tokens.json or
// special_tokens_map.json: saved so by some versions of transformers, and by people who add a token by hand. Read as
// transformers 5 reads them (PreTrainedTokenizerBase._from_pretrained, TokenizersBackend.__init__).
#pragma once

#include <nlohmann/json.hpp>

#include "text/files/json_file.hpp"
#include "text/tokenizer.hpp"

namespace moemill::text {

// Appends to the file's "added_tokens" those that it lacks, and returns what it appended (an array, empty for most
// models). Tokens that tokenizer.json has keep what it says of them. UserError where a file gives a token another id
// than it would get: neither would be safe.
nlohmann::json append_side_tokens(TokenizerFile& file, const SideFiles& side);

}  // namespace moemill::text
