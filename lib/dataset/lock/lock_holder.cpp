#include "dataset/lock/lock_holder.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "dataset/json_values.hpp"
#include "system/machine/entropy.hpp"
#include "system/machine/host.hpp"

namespace moemill::dataset {
namespace {

// Of a name that others choose: at most 64 characters that need no escaping, so that the line's length is bounded.
std::string plain(std::string_view text) {
  std::string kept;
  for (char c : text.substr(0, 64)) kept += c > ' ' && c < 127 && c != '"' && c != '\\' ? c : '_';
  return kept;
}

// "" where /proc does not tell.
std::string first_word(const char* path) {
  std::string word;
  std::ifstream(path) >> word;
  return word;
}

std::string target_of(const char* link) {
  char target[128];
  const ssize_t length = ::readlink(link, target, sizeof target);
  return length > 0 ? std::string(target, static_cast<std::size_t>(length)) : std::string();
}

// Two processes with the same answer see each other under the same numbers. "" when /proc is not there, or that of
// another container: then nothing can be said of any process.
std::string process_namespace() {
  if (target_of("/proc/self") != fmt::format("{}", ::getpid())) return "";
  return target_of("/proc/self/ns/pid");
}

struct ProcessLine {
  char state = '?';
  std::uint64_t started = 0;
};

// Of /proc/PID/stat: "PID (NAME) STATE ..." with the start as the 22nd field. NAME may hold blanks and parentheses.
std::optional<ProcessLine> process_line(std::int64_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  ProcessLine line;
  std::string passed;
  fields >> line.state;
  for (int field = 4; field < 22; ++field) fields >> passed;
  fields >> line.started;
  if (!fields) return std::nullopt;
  return line;
}

bool no_such_process(std::int64_t process) { return ::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH; }

}  // namespace

Holder this_process() {
  Holder holder;
  holder.token = random_hex(16);
  holder.process = ::getpid();
  if (auto line = process_line(holder.process)) holder.started = line->started;
  holder.boot = plain(first_word("/proc/sys/kernel/random/boot_id"));
  holder.processes = plain(process_namespace());
  holder.host = plain(host_name());
  const char* job = std::getenv("SLURM_JOB_ID");
  holder.slurm_job = plain(job ? job : "");
  holder.since = utc_now();
  return holder;
}

std::string to_line(const Holder& holder) {
  const nlohmann::ordered_json json = {{"process", holder.process},
                                       {"host", holder.host},
                                       {"slurm_job", holder.slurm_job},
                                       {"since", holder.since},
                                       {"released", holder.released},
                                       {"beat", holder.beat},
                                       {"token", holder.token},
                                       {"started", holder.started},
                                       {"boot", holder.boot},
                                       {"processes", holder.processes},
                                       {"held_seconds", holder.held_seconds}};
  std::string line = json.dump();
  expect(line.size() < holder_line_bytes, "lock: the holder's line has room");
  line.resize(holder_line_bytes - 1, ' ');
  return line + "\n";
}

std::optional<Holder> parse_holder(std::string_view line) {
  if (line.size() != holder_line_bytes) return std::nullopt;
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  Holder holder;
  auto take = [&]<class T>(const char* name, T& into) {
    const auto value = value_of<T>(json, name);
    if (value) into = *value;
    return value.has_value();
  };
  const bool whole = take("process", holder.process) && take("host", holder.host) &&
                     take("slurm_job", holder.slurm_job) && take("since", holder.since) &&
                     take("released", holder.released) && take("beat", holder.beat) && take("token", holder.token) &&
                     take("started", holder.started) && take("boot", holder.boot) &&
                     take("processes", holder.processes);
  holder.held_seconds = value_or(json, "held_seconds", -1.0);  // lines of older versions have none
  const bool names_a_file =
      holder.token.size() == 32 && holder.token.find_first_not_of("0123456789abcdef") == std::string::npos;
  return whole && names_a_file && holder.process > 0 && std::in_range<pid_t>(holder.process) ? std::optional(holder)
                                                                                             : std::nullopt;
}

std::string describe(const Holder& holder) {
  return fmt::format("process {} on {}{}{}, since {}", holder.process, holder.host,
                     holder.slurm_job.empty() ? "" : ", Slurm job ", holder.slurm_job, holder.since);
}

ProcessState process_state(const Holder& holder) {
  const std::string boot = plain(first_word("/proc/sys/kernel/random/boot_id"));
  const std::string processes = plain(process_namespace());
  if (boot.empty() || processes.empty() || holder.boot != boot || holder.processes != processes)
    return ProcessState::Elsewhere;
  if (no_such_process(holder.process)) return ProcessState::Gone;
  const auto line = process_line(holder.process);
  // It may have gone just now; or /proc hides the processes of other users.
  if (!line) return no_such_process(holder.process) ? ProcessState::Gone : ProcessState::Elsewhere;
  const bool ended = line->state == 'Z' || line->state == 'X';  // its parent has not asked for its end yet
  return ended || line->started != holder.started ? ProcessState::Gone : ProcessState::Alive;
}

}  // namespace moemill::dataset
