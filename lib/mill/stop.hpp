// Reasons to stop a job early: signals, the wall-time limit, the stop file. The loop asks once per step and shares the
// answer with all ranks, so a signal to one rank drains all of them.
#pragma once

#include <atomic>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/run_config.hpp"
#include "mill/stop_file.hpp"

namespace moemill::mill {

// Receives SIGUSR1, SIGUSR2, SIGTERM and SIGINT of the process in a thread of its own and keeps the last one for
// poll(). A second SIGINT ends the process at once with exit code 75, which leaves the run directory as a kill does.
// Must be constructed before MPI and before any thread starts, because threads inherit the mask of blocked signals.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  // The name of the last signal that has arrived since the last call.
  std::optional<std::string> poll();

 private:
  void listen();

  sigset_t held_{};
  sigset_t before_{};
  std::atomic<int> taken_{0};  // 0: none
  std::atomic<bool> over_{false};
  std::thread listener_;
};

// Finds out whether this rank has a reason to stop the job early, and keeps that reason.
class StopWish {
 public:
  // `started` is now_seconds() at the job's start.
  StopWish(StopSignals& signals, const RuntimeSettings& runtime, double started);
  // Called on the one rank that looks for the stop file.
  void look_for(StopFile& stop_file) { stop_file_ = &stop_file; }
  // The reason to stop, once there is one; it does not change after that. Looks for the stop file a few times per
  // second.
  const std::optional<std::string>& ask();
  // A warning about the time limit, to be reported by rank 0; usually "".
  const std::string& warning() const { return warning_; }
  // Throws StopRequested with the reason, once there is one.
  void check();

 private:
  StopSignals& signals_;
  std::optional<double> deadline_;  // now_seconds() at which to start draining
  StopFile* stop_file_ = nullptr;
  double next_look_ = 0;
  std::string warning_;
  std::optional<std::string> reason_;
};

}  // namespace moemill::mill
