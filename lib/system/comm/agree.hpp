// Lets ranks fail in agreement: after each start-up phase they exchange its outcome, so that either all continue or all
// end with the same code and one message. Used wherever one rank alone may find a fault. Also the one place that maps
// exceptions to exit codes.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

#include "base/error.hpp"
#include "system/comm/comm.hpp"

namespace moemill {

// Thrown on every rank at the same time. `what()` is the message of the lowest failing rank.
class AgreedFailure : public std::runtime_error {
 public:
  AgreedFailure(ExitCode code, const std::string& text) : std::runtime_error(text), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Returns the text of rank `from` on every rank; collective.
std::string broadcast_text(const Comm& world, const std::string& mine, int from);

// Runs `phase`, which must not communicate, on every rank; collective. If it throws on any rank, AgreedFailure is
// thrown on all ranks.
void run_on_all_ranks(const Comm& world, const std::function<void()>& phase);

// The same for a phase that only rank 0 runs.
void run_on_rank_zero(const Comm& world, const std::function<void()>& phase);

// An exception as an exit code and text.
struct Failure {
  ExitCode code = ExitCode::Done;
  std::string text;
  const char* kind = "";  // "error", "system error", ...: what a message on stderr begins with
  bool agreed = false;    // true if all ranks have the same failure
};
// The map from exceptions to exit codes. Call it inside a catch block.
Failure describe_current_exception();

// The failure's text for the job's messages: preceded by rank and host, except for a user error that rank 0 found.
std::string attribution(const Comm& world, const Failure& failure);

}  // namespace moemill
