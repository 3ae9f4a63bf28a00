// Advice for unknown keys and options: the nearest key of run.yaml, or what replaces another program's setting.
// Used by config/ and by the command line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill::mill {

// The text after "unknown key 'x'", which begins with "; " or ": ": what replaces another program's setting, the
// nearest known key, or that nothing is near.
std::string advice_for_key(std::string_view key);

// The key of run.yaml that a flag such as `--temperature` or `--max_model_len` names, or "".
std::string key_of_flag(std::string_view flag);

// What replaces another program's flag, such as `--tensor-parallel-size`, or "".
std::string advice_for_foreign(std::string_view name);

// The key or section of run.yaml that is probably meant, or "". It finds keys written at the top or in a wrong section
// as well.
std::string nearest_key(std::string_view name);

// The option or command that is probably meant, or "" if nothing is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace moemill::mill
