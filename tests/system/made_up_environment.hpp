// Environment variables that a test invents, in place of the process's own.
#pragma once

#include <map>
#include <string>

#include "system/machine/launcher.hpp"

namespace moemill {

using Variables = std::map<std::string, std::string>;

// `variables` must outlive it.
inline Environment environment_of(const Variables& variables) {
  return [&variables](const char* name) -> const char* {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  };
}

}  // namespace moemill
