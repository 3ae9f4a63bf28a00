// Names of keys that are not one: the nearest key of run.yaml, or what to use instead of another program's setting.
// Used by mill/config and by the command line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill::mill {

// What to say behind "unknown key 'x'": another program's name with what there is instead, the nearest known key, or
// nothing near. Begins with "; " or ": ".
std::string advice_for_key(std::string_view key);

// The key of run.yaml that a flag such as `--temperature` or `--max_model_len` names, or "".
std::string key_of_flag(std::string_view flag);

// The same for another program's flag, such as `--tensor-parallel-size`: what there is instead, or "".
std::string advice_for_foreign(std::string_view name);

// The key or section of run.yaml that is likely to be meant, or "": also what is written at the top or in another
// section.
std::string nearest_key(std::string_view name);

// The option or command that is likely to be meant, or empty when nothing is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace moemill::mill
