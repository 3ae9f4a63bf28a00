// What the tests of the planner share.
#pragma once

#include <initializer_list>
#include <string>

namespace moemill::test {

inline const std::string configs = std::string(MOEMILL_SOURCE_DIR) + "/configs";

// Whether the text has each of the words.
inline bool says(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words)
    if (text.find(word) == std::string::npos) return false;
  return true;
}

}  // namespace moemill::test
