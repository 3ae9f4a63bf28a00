// What the tests of the planner share.
#pragma once

#include <initializer_list>
#include <string>

#include "base/error.hpp"

namespace moemill::test {

inline const std::string configs = std::string(MOEMILL_SOURCE_DIR) + "/configs";

// Whether the text has each of the words.
inline bool says(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* word : words)
    if (text.find(word) == std::string::npos) return false;
  return true;
}

// The message of the UserError that `read` throws.
template <class Read>
std::string fault_of_call(const Read& read) {
  try {
    read();
  } catch (const UserError& fault) {
    return fault.what();
  }
  return "no fault";
}

// `text` with the first `old` replaced.
inline std::string replaced(std::string text, const std::string& old, const std::string& now) {
  return text.replace(text.find(old), old.size(), now);
}

}  // namespace moemill::test
