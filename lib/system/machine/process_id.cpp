#include "system/machine/process_id.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

namespace moemill {
namespace {

struct Stat {
  char state = 'X';
  std::uint64_t started = 0;
};

// /proc/PID/stat: "PID (NAME) STATE ...", where NAME may have spaces and brackets; field 22 is the start.
std::optional<Stat> read_stat(const std::string& root, std::int32_t number) {
  std::ifstream in(fmt::format("{}/proc/{}/stat", root, number));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  Stat stat;
  fields >> stat.state;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  if (fields >> stat.started) return stat;
  return std::nullopt;
}

}  // namespace

ProcessId this_process() { return process_of(::getpid()); }

ProcessId process_of(std::int32_t number) {
  const auto stat = read_stat("", number);
  return {number, stat ? stat->started : 0};
}

bool runs(const ProcessId& process, const std::string& root) {
  const auto stat = read_stat(root, process.number);
  return stat && stat->started == process.started && stat->state != 'Z' && stat->state != 'X';
}

}  // namespace moemill
