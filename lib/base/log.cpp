#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

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

bool enabled(Level level) { return spdlog::default_logger_raw()->should_log(to_spdlog(level)); }
void write(Level level, std::string_view line) { spdlog::log(to_spdlog(level), "{}", line); }

}  // namespace moemill::log
