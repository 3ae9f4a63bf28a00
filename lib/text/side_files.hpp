// Added tokens in files beside tokenizer.json: tokenizer_config.json, added_tokens.json and special_tokens_map.json.
// Some versions of transformers save them there, and users add tokens there by hand. They are read as transformers 5
// reads them (PreTrainedTokenizerBase._from_pretrained, TokenizersBackend.__init__).
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "text/files/json_file.hpp"
#include "text/tokenizer.hpp"

namespace moemill::text {

// Appends the tokens that the file's "added_tokens" lacks, and returns them (an array, empty for most models). Tokens
// that tokenizer.json has keep its settings. UserError if a file gives a token an id that differs from the one it would
// get, because neither id would be safe.
nlohmann::json append_side_tokens(TokenizerFile& file, const SideFiles& side);

// The text of a token in tokenizer_config.json, where it is a string or an object with "content"; nothing if absent.
std::optional<std::string> token_text(const nlohmann::json& config, const char* key);

}  // namespace moemill::text
