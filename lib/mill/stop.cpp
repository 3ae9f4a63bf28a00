#include "mill/stop.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "system/files.hpp"

namespace moemill::mill {
namespace {

constexpr int stop_signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT};

// Seconds from now until SLURM_JOB_END_TIME (a UNIX time), when Slurm tells.
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
}

StopSignals::~StopSignals() {
  while (poll()) {
  }  // what has come was meant for the job that is over
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<std::string> StopSignals::poll() {
  timespec none{};
  int signal = sigtimedwait(&held_, nullptr, &none);
  if (signal <= 0) return std::nullopt;
  return std::string("SIG") + sigabbrev_np(signal);
}

StopWish::StopWish(StopSignals& signals, const RuntimeSettings& runtime, double started) : signals_(signals) {
  if (runtime.max_wall_time_seconds) {
    deadline_ = started + *runtime.max_wall_time_seconds - runtime.drain_margin_seconds;
  } else if (auto left = slurm_seconds_left()) {
    const double margin = std::clamp(*left / 4, 0.0, runtime.drain_margin_seconds);  // a short job shall get on, too
    if (margin < runtime.drain_margin_seconds)
      log::warning("only {:.0f} s are left to the Slurm job: stopping {:.0f} s before its end, not {:.0f} s", *left,
                   margin, runtime.drain_margin_seconds);
    deadline_ = now_seconds() + *left - margin;
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
    if (files::exists(*stop_file_)) reason_ = "the stop file " + *stop_file_;
  }
  return reason_;
}

void StopWish::check() {
  if (const auto& reason = ask()) throw StopRequested(*reason);
}

}  // namespace moemill::mill
