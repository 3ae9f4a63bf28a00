// What the JSON library says of a text that it cannot read, for people: without its own name of the fault. Used by the
// readers of files that must be JSON.
#pragma once

#include <string>
#include <string_view>

namespace moemill {

// "at line 1, column 3: syntax error ..." of "[json.exception.parse_error.101] parse error at line 1, column 3: ...".
inline std::string json_fault(std::string_view what) {
  if (const std::size_t name = what.find("] "); what.starts_with("[json.exception.") && name != what.npos)
    what.remove_prefix(name + 2);
  if (constexpr std::string_view kind = "parse error "; what.starts_with(kind)) what.remove_prefix(kind.size());
  return std::string(what);
}

}  // namespace moemill
