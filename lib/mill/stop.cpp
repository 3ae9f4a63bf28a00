#include "mill/stop.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace moemill::mill {
namespace {

constexpr int stop_signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT};

// The time between two SIGINTs of one Ctrl-C: some launchers send it to the process and to its group.
constexpr double same_press_seconds = 0.05;

[[noreturn]] void leave_at_once() {
  constexpr std::string_view line =
      "moemill: second SIGINT: leaving at once; finished rows are kept up to the last journal flush; rerun the same "
      "command to resume\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(static_cast<int>(ExitCode::Stopped));
}

// Seconds from now until SLURM_JOB_END_TIME (a UNIX time), if Slurm sets it.
std::optional<double> slurm_seconds_left() {
  const char* text = std::getenv("SLURM_JOB_END_TIME");
  if (!text) return std::nullopt;
  long long end = 0;
  auto [rest, error] = std::from_chars(text, text + std::strlen(text), end);
  if (error != std::errc() || *rest != '\0') return std::nullopt;
  return static_cast<double>(end - static_cast<long long>(std::time(nullptr)));
}

}  // namespace

StopSignals::StopSignals() {
  sigemptyset(&held_);
  for (int signal : stop_signals) sigaddset(&held_, signal);
  if (int error = pthread_sigmask(SIG_BLOCK, &held_, &before_))
    system_error("pthread_sigmask: {}", std::strerror(error));
  listener_ = std::thread([this] { listen(); });
}

StopSignals::~StopSignals() {
  over_ = true;
  pthread_kill(listener_.native_handle(), SIGUSR1);  // wakes the listener
  listener_.join();
  timespec none{};
  while (sigtimedwait(&held_, nullptr, &none) > 0) {
  }  // pending signals were sent to the job that has ended
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

// The main thread may be in a long step or wait for another rank, so only a separate thread sees a second signal then.
void StopSignals::listen() {
  std::optional<double> interrupted;  // now_seconds() of the first SIGINT
  for (;;) {
    const int signal = sigwaitinfo(&held_, nullptr);
    if (over_) return;
    if (signal <= 0) continue;
    if (signal == SIGINT) {
      if (interrupted && now_seconds() - *interrupted >= same_press_seconds) leave_at_once();
      if (!interrupted) interrupted = now_seconds();
    }
    taken_ = signal;
  }
}

std::optional<std::string> StopSignals::poll() {
  const int signal = taken_.exchange(0);
  if (signal == 0) return std::nullopt;
  return std::string("SIG") + sigabbrev_np(signal);
}

StopWish::StopWish(StopSignals& signals, const RuntimeSettings& runtime, double started) : signals_(signals) {
  if (runtime.max_wall_time_seconds)
    deadline_ = started + *runtime.max_wall_time_seconds - runtime.drain_margin_seconds;
  const auto left = slurm_seconds_left();
  if (left && *left <= 0) {
    warning_ = fmt::format("SLURM_JOB_END_TIME was {:.0f} s ago: it is not taken for the end of this job", -*left);
  } else if (left) {
    const double margin =
        std::clamp(*left / 4, 0.0, runtime.drain_margin_seconds);  // a short job must make progress too
    const double end = now_seconds() + *left - margin;
    if (deadline_ && *deadline_ <= end) return;
    if (margin < runtime.drain_margin_seconds)
      warning_ = fmt::format("only {:.0f} s are left to the Slurm job: stopping {:.0f} s before its end, not {:.0f} s",
                             *left, margin, runtime.drain_margin_seconds);
    deadline_ = end;
  }
}

const std::optional<std::string>& StopWish::ask() {
  if (reason_) return reason_;
  double now = now_seconds();
  if (auto signal = signals_.poll()) {
    reason_ = *signal;
  } else if (deadline_ && now >= *deadline_) {
    reason_ = "the time limit";
  } else if (stop_file_ && now >= next_look_) {
    next_look_ = now + 0.2;
    if (stop_file_->asks()) reason_ = "the stop file " + stop_file_->description();
  }
  return reason_;
}

void StopWish::check() {
  if (const auto& reason = ask()) throw StopRequested(*reason);
}

}  // namespace moemill::mill
