// When a job should stop early: signals, the wall-time limit, the stop file. The loop asks once a step; the answer goes
// into the facts that all ranks share, so that one rank's signal drains them all.
#pragma once

#include <csignal>
#include <optional>
#include <stdexcept>
#include <string>

#include "base/run_config.hpp"

namespace moemill::mill {

// Holds SIGUSR1, SIGUSR2, SIGTERM and SIGINT back from the process so that they can be asked for. Made before MPI and
// any thread is started, because threads inherit what is held back.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  // The name of a signal that has come since the last call.
  std::optional<std::string> poll();

 private:
  sigset_t held_{};
  sigset_t before_{};
};

// Ends long work that nothing is lost by: loading and merging. Comes out as exit code 75.
class StopRequested : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class StopWish {
 public:
  // `started`: now_seconds() at the job's start.
  StopWish(StopSignals& signals, const RuntimeSettings& runtime, double started);
  // On the one rank that looks for the stop file: its path.
  void look_for(std::string stop_file) { stop_file_ = std::move(stop_file); }
  // Why to stop, once there is a reason; it stays. Looks for the stop file a few times a second.
  const std::optional<std::string>& ask();
  // Throws StopRequested with the reason, once there is one.
  void check();

 private:
  StopSignals& signals_;
  std::optional<double> deadline_;  // now_seconds() at which to start draining
  std::optional<std::string> stop_file_;
  double next_look_ = 0;
  std::optional<std::string> reason_;
};

}  // namespace moemill::mill
