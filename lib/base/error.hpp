// How moemill fails. A bad prompt is data (a row with a status); what cannot go on is one of these exceptions.
// Thrown anywhere, caught once, in the guard around an app's body, which maps them to the contract's exit codes.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace moemill {

enum class ExitCode : int { Done = 0, Internal = 1, Usage = 2, TooManyFailed = 3, Stopped = 75 };

// The user's to fix: usage, config, model, input, resume refused. Exit 2. The message says what is wrong, where
// (file, line, key, dataset, row), and how to fix it.
class UserError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The machine's: a library or system call failed. Exit 1. The message names the call and its target.
class SystemError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Ours: a broken invariant. Exit 1.
class ContractViolation : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

template <class... Args>
[[noreturn]] void user_error(fmt::format_string<Args...> text, Args&&... args) {
  throw UserError(fmt::format(text, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void system_error(fmt::format_string<Args...> text, Args&&... args) {
  throw SystemError(fmt::format(text, std::forward<Args>(args)...));
}

// Always checked, in every build: `expect(rows <= capacity, "dispatch: rows fit the workspace")`.
inline void expect(bool holds, const char* invariant) {
  if (!holds) throw ContractViolation(std::string("broken invariant: ") + invariant);
}

// Cancels long work that can start again: loading and merging. Comes out as exit code 75.
class StopRequested : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace moemill
