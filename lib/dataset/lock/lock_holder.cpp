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
#include "base/text/json_values.hpp"
#include "system/machine/entropy.hpp"
#include "system/machine/host.hpp"

namespace moemill::dataset {
namespace {

// A name from outside, cut to 64 characters that need no escaping, so that the line's length is bounded.
std::string plain(std::string_view text) {
  std::string kept;
  for (char c : text.substr(0, 64)) kept += c > ' ' && c < 127 && c != '"' && c != '\\' ? c : '_';
  return kept;
}

// The first word of the file, or "" if there is no such file.
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

// Processes with equal values see each other under the same numbers. "" if /proc is absent or belongs to another
// container, where no process can be judged.
std::string process_namespace() {
  if (target_of("/proc/self") != fmt::format("{}", ::getpid())) return "";
  return target_of("/proc/self/ns/pid");
}

struct ProcessLine {
  char state = '?';
  std::uint64_t started = 0;
};

// From /proc/PID/stat: "PID (NAME) STATE ..." with the start as the 22nd field. NAME may hold blanks and parentheses.
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

namespace {

// The entries of the line in their order: one list for writing and reading.
template <class Visit>
void visit_entries(auto& holder, Visit&& visit) {
  visit("process", holder.process);
  visit("host", holder.host);
  visit("slurm_job", holder.slurm_job);
  visit("since", holder.since);
  visit("released", holder.released);
  visit("beat", holder.beat);
  visit("token", holder.token);
  visit("started", holder.started);
  visit("boot", holder.boot);
  visit("processes", holder.processes);
}

}  // namespace

std::string to_line(const Holder& holder) {
  nlohmann::ordered_json json;
  visit_entries(holder, [&](const char* name, const auto& value) { json[name] = value; });
  json["held_seconds"] = holder.held_seconds;
  std::string line = json.dump();
  expect(line.size() < holder_line_bytes, "lock: the holder's line has room");
  line.resize(holder_line_bytes - 1, ' ');
  return line + "\n";
}

std::optional<Holder> parse_holder(std::string_view line) {
  if (line.size() != holder_line_bytes) return std::nullopt;
  const auto json = parse_json_object(line);
  if (!json) return std::nullopt;
  Holder holder;
  bool whole = true;
  visit_entries(holder, [&]<class T>(const char* name, T& into) {
    const auto value = json_value<T>(*json, name);
    if (value) into = *value;
    whole = whole && value.has_value();
  });
  holder.held_seconds = json_value_or(*json, "held_seconds", -1.0);  // lines of older versions lack it
  const bool names_a_file =
      holder.token.size() == 32 && holder.token.find_first_not_of("0123456789abcdef") == std::string::npos;
  whole = whole && names_a_file && holder.process > 0 && std::in_range<pid_t>(holder.process);
  return whole ? std::optional(holder) : std::nullopt;
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
  // It may have ended just now, or /proc hides processes of other users.
  if (!line) return no_such_process(holder.process) ? ProcessState::Gone : ProcessState::Elsewhere;
  const bool ended = line->state == 'Z' || line->state == 'X';  // its parent has not collected it yet
  return ended || line->started != holder.started ? ProcessState::Gone : ProcessState::Alive;
}

}  // namespace moemill::dataset
