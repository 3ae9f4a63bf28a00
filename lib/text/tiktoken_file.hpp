// tiktoken.model as Kimi K2 and Moonlight are published: a rank and the bytes of a token a line, special tokens in
// tokenizer_config.json. Written as the same TokenizerFile that tokenizer.json makes, so that the rest is one path.
#pragma once

#include <string>
#include <string_view>

#include "text/files/json_file.hpp"

namespace moemill::text {

// UserError names the file and line: bytes that are no base64, a rank that is not the line's number, a token twice, a
// byte that no token is. `config` is tokenizer_config.json, which must name the class whose split pattern is known.
TokenizerFile read_tiktoken_file(std::string_view ranks, const std::string& file_name, std::string_view config,
                                 const std::string& config_name);

}  // namespace moemill::text
