// Reads tiktoken.model as Kimi K2 and Moonlight publish it: the bytes and the rank of one token per line, with special
// tokens in tokenizer_config.json. The result is the TokenizerFile that a tokenizer.json yields, so one path follows.
#pragma once

#include <string>
#include <string_view>

#include "text/files/json_file.hpp"

namespace moemill::text {

// UserError names file and line, for bytes that are not base64, a rank that is not the line's number, a repeated token,
// and a single byte that has no token. `config` is tokenizer_config.json; it must name the class whose split pattern is
// known.
TokenizerFile read_tiktoken_file(std::string_view ranks, const std::string& file_name, std::string_view config,
                                 const std::string& config_name);

}  // namespace moemill::text
