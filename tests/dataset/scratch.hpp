// A folder of this test's own, which is removed at its end; and prompts files to read from.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "dataset/prompts/prompts.hpp"
#include "support/temp_dir.hpp"

namespace moemill::dataset {

class Scratch {
 public:
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  const std::string& dir() const { return path_; }

 private:
  test::TempDir folder_;
  std::string path_ = folder_.str();
};

inline std::string fixture(const std::string& name) {
  return std::string(MOEMILL_TEST_DATA) + "/dataset/" + name + ".h5";
}

inline PromptFile open_prompts(const std::string& path, const std::string& group = "/") {
  InputSettings input;
  input.path = path;
  input.group = group;
  return PromptFile(input, std::nullopt);
}

inline PromptFile open_fixture(const std::string& name, const std::string& group = "/") {
  return open_prompts(fixture(name), group);
}

// The text of the exception that `body` must throw.
template <class Exception, class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Exception& error) {
    return error.what();
  }
  return "(nothing was thrown)";
}

#define CHECK_CONTAINS(text, part) CHECK_MESSAGE((text).find(part) != std::string::npos, (text))

}  // namespace moemill::dataset
