#include "base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <memory>
#include <mutex>

#include "base/error.hpp"

namespace moemill::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::Trace: return spdlog::level::trace;
    case Level::Debug: return spdlog::level::debug;
    case Level::Info: return spdlog::level::info;
    case Level::Warning: return spdlog::level::warn;
    case Level::Error: return spdlog::level::err;
    case Level::Off: return spdlog::level::off;
  }
  return spdlog::level::info;
}

constexpr const char* second_place =
    "moemill second place";  // names the logger whose only sink is the function of also_to

class LineSink final : public spdlog::sinks::sink {
 public:
  explicit LineSink(std::function<void(std::string_view)> take) : take_(std::move(take)) {}
  void log(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    {
      const std::lock_guard<std::mutex> alone(mutex_);  // a formatter caches the last date
      formatter_.format(message, line);
    }
    take_({line.data(), line.size()});  // without the lock, because `take_` may log its own failure
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}  // the sink has its own pattern
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  std::function<void(std::string_view)> take_;
  std::mutex mutex_;
  spdlog::pattern_formatter formatter_{"%Y-%m-%dT%H:%M:%SZ %l: %v", spdlog::pattern_time_type::utc, ""};
};

}  // namespace

Level parse_level(std::string_view name) {
  if (name == "trace") return Level::Trace;
  if (name == "debug") return Level::Debug;
  if (name == "info") return Level::Info;
  if (name == "warning" || name == "warn") return Level::Warning;
  if (name == "error") return Level::Error;
  if (name == "off") return Level::Off;
  user_error("log level '{}' is not one of trace, debug, info, warning, error, off", name);
}

void start(Level level, int rank, int world_size) {
  auto logger = std::make_shared<spdlog::logger>("moemill", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern(world_size > 1 ? fmt::format("%H:%M:%S %l rank {}: %v", rank) : "%H:%M:%S %l: %v");
  logger->set_level(to_spdlog(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void also_to(std::function<void(std::string_view)> take) {
  auto& sinks = spdlog::default_logger_raw()->sinks();
  if (const auto second = spdlog::get(second_place)) {
    std::erase(sinks, second->sinks().front());
    spdlog::drop(second_place);
  }
  if (!take) return;
  auto sink = std::make_shared<LineSink>(std::move(take));
  sinks.push_back(sink);
  auto logger = std::make_shared<spdlog::logger>(second_place, std::move(sink));
  logger->set_level(spdlog::level::trace);
  spdlog::register_logger(std::move(logger));
}

bool enabled(Level level) { return spdlog::default_logger_raw()->should_log(to_spdlog(level)); }
void write(Level level, std::string_view line) { spdlog::log(to_spdlog(level), "{}", line); }

void raw(std::string_view text) {
  (void)!std::fwrite(text.data(), 1, text.size(), stderr);
  (void)!std::fflush(stderr);
}

void note(Level level, std::string_view line) {
  if (const auto second = spdlog::get(second_place)) second->log(to_spdlog(level), "{}", line);
}

}  // namespace moemill::log
