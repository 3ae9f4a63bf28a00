// How ranks fail together: after each start-up phase all tell each other how it went, so that either all go on or all
// leave with the same code and one message. Used by mill/ wherever one rank alone may find a fault.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

#include "base/error.hpp"
#include "system/comm/comm.hpp"

namespace moemill {

// Thrown on every rank at once. `what()` is the message of the lowest failing rank.
class AgreedFailure : public std::runtime_error {
 public:
  AgreedFailure(ExitCode code, const std::string& text) : std::runtime_error(text), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// The text of rank `from` on every rank; collective.
std::string broadcast_text(const Comm& world, const std::string& mine, int from);

// Runs `phase`, which must not communicate, on this rank; collective. Throws AgreedFailure on all ranks if any threw.
void together(const Comm& world, const std::function<void()>& phase);

// The same when only rank 0 has something to do.
void rank_zero(const Comm& world, const std::function<void()>& phase);

// "3 GiB too little" as exit code and one line: how the guard tells exceptions apart.
struct Failure {
  ExitCode code = ExitCode::Done;
  std::string text;
  bool agreed = false;  // all ranks have it
};
Failure describe_current_exception();

// How the job tells the failure of this rank: with rank and host, unless it is a user's fault that rank 0 found.
std::string told_by(const Comm& world, const Failure& failure);

}  // namespace moemill
