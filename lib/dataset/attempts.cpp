#include "dataset/attempts.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/build_info.hpp"
#include "base/clock.hpp"
#include "dataset/json_lines.hpp"
#include "dataset/json_values.hpp"

namespace moemill::dataset {
namespace {

void append(const RunPaths& paths, const nlohmann::ordered_json& line) {
  JsonLines file(paths.attempts());
  // A reason may hold bytes of a damaged input: they must not cost the line.
  file.append(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  file.sync();
}

}  // namespace

void record(const RunPaths& paths, const AttemptBegin& b) {
  nlohmann::ordered_json line = {{"time", utc_now()},
                                 {"attempt", b.attempt},
                                 {"event", "begin"},
                                 {"ranks", b.ranks},
                                 {"nodes", b.nodes},
                                 {"hosts", b.hosts},
                                 {"slurm_job_id", nullptr},
                                 {"rows_before", b.rows_before},
                                 {"moemill_version", build_info::version()},
                                 {"git_commit", build_info::git_commit()}};
  if (!b.slurm_job_id.empty()) line["slurm_job_id"] = b.slurm_job_id;
  append(paths, line);
}

void record(const RunPaths& paths, const AttemptEnd& e) {
  append(paths, {{"time", utc_now()},
                 {"attempt", e.attempt},
                 {"event", "end"},
                 {"exit_code", e.exit_code},
                 {"reason", e.reason},
                 {"rank", e.rank}});
}

void record(const RunPaths& paths, const AttemptKilled& k) {
  append(paths, {{"time", utc_now()},
                 {"attempt", k.attempt},
                 {"event", "killed"},
                 {"last_sign_of_life", utc_text(k.last_sign_of_life)}});
}

std::optional<AttemptEnd> read_end(const RunPaths& paths, std::uint32_t attempt) {
  std::optional<AttemptEnd> end;
  for_each_object(paths.attempts(), [&](const nlohmann::json& j) {
    if (end || value_of<std::string>(j, "event") != "end" || value_of<std::uint32_t>(j, "attempt") != attempt) return;
    end = {attempt, value_or(j, "exit_code", 1), value_or(j, "reason", std::string()), value_or(j, "rank", 0)};
  });
  return end;
}

std::map<std::uint32_t, double> attempt_seconds(const RunPaths& paths) {
  std::map<std::uint32_t, std::time_t> begins;
  std::map<std::uint32_t, double> seconds;
  for_each_object(paths.attempts(), [&](const nlohmann::json& j) {
    const auto attempt = value_of<std::uint32_t>(j, "attempt");
    const auto event = value_of<std::string>(j, "event");
    const auto time = parse_utc(value_or(j, event == "killed" ? "last_sign_of_life" : "time", std::string()));
    if (!attempt || !time) return;
    if (event == "begin") begins[*attempt] = *time;
    if ((event == "end" || event == "killed") && begins.contains(*attempt))
      seconds.emplace(*attempt, std::max(0.0, std::difftime(*time, begins[*attempt])));  // of several ends the first
  });
  return seconds;
}

}  // namespace moemill::dataset
