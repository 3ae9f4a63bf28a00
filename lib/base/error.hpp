// How moemill fails. A bad prompt is data (a row with a status); a job that cannot continue throws one of these
// exceptions. They may be thrown anywhere; system/comm/agree maps them to exit codes, for the guard around an app's
// body.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace moemill {

enum class ExitCode : int { Done = 0, Internal = 1, Usage = 2, TooManyFailed = 3, Stopped = 75 };

// An error that the user can fix: usage, config, model, input, a refused resume. Exit code 2. The message says what is
// wrong, where (file, line, key, dataset, row), and how to fix it.
class UserError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A library or system call failed. Exit code 1. The message names the call and its target.
class SystemError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A bug: a broken invariant. Exit code 1.
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

// Checked in every build: `expect(rows <= capacity, "dispatch: rows fit the workspace")`.
inline void expect(bool holds, const char* invariant) {
  if (!holds) throw ContractViolation(std::string("broken invariant: ") + invariant);
}

// Cancels long, restartable work (loading, merging). Exit code 75.
class StopRequested : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace moemill
