// When a job should stop early: signals, the wall-time limit, the stop file. The loop asks once a step; the answer goes
// into the facts that all ranks share, so that one rank's signal drains them all.
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

// Takes SIGUSR1, SIGUSR2, SIGTERM and SIGINT of the process in a thread of its own and keeps them to be asked for. A
// second SIGINT ends the process at once with exit code 75, whatever it is in the middle of: the run directory is as
// after a kill. Made before MPI and any thread is started, because threads inherit what is held back.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  // The name of the last signal that has come since the last call.
  std::optional<std::string> poll();

 private:
  void listen();

  sigset_t held_{};
  sigset_t before_{};
  std::atomic<int> taken_{0};  // 0: none
  std::atomic<bool> over_{false};
  std::thread listener_;
};

class StopWish {
 public:
  // `started`: now_seconds() at the job's start.
  StopWish(StopSignals& signals, const RuntimeSettings& runtime, double started);
  // On the one rank that looks for the stop file.
  void look_for(StopFile& stop_file) { stop_file_ = &stop_file; }
  // Why to stop, once there is a reason; it stays. Looks for the stop file a few times a second.
  const std::optional<std::string>& ask();
  // What rank 0 should tell of the time limit; "" mostly.
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
