#include "dataset/run_dir/attempts.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/build_info.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/text/json_values.hpp"
#include "dataset/json_lines.hpp"

namespace moemill::dataset {
namespace {

void append(const RunPaths& paths, const nlohmann::ordered_json& line) {
  JsonLines file(paths.attempts());
  // A reason may contain bytes of a damaged input, which must not make the line fail.
  file.append(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  file.sync();
}

int code_of(ExitCode code) { return static_cast<int>(code); }

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
                                 {"threads", b.cores.threads},
                                 {"cores_allocated", b.cores.allocated},
                                 {"cores_used", b.cores.used},
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
                 {"rank", e.rank},
                 {"seconds", e.seconds},
                 {"core_hours_allocated", e.seconds * static_cast<double>(e.cores.allocated) / 3600},
                 {"core_hours_used", e.seconds * static_cast<double>(e.cores.used) / 3600}});
}

void record(const RunPaths& paths, const AttemptKilled& k) {
  nlohmann::ordered_json line = {{"time", utc_now()},
                                 {"attempt", k.attempt},
                                 {"event", "killed"},
                                 {"last_sign_of_life", utc_text(k.last_sign_of_life)}};
  if (k.seconds) line["seconds"] = *k.seconds;
  append(paths, line);
}

std::optional<AttemptEnd> read_end(const RunPaths& paths, std::uint32_t attempt) {
  std::optional<AttemptEnd> end;
  for_each_object(paths.attempts(), [&](const nlohmann::json& j) {
    // The first failure is the cause. An attempt that has recorded a good end may still fail when it removes shards;
    // the failure then replaces that end.
    const auto has_failed = [&] {
      return end->exit_code != code_of(ExitCode::Done) && end->exit_code != code_of(ExitCode::TooManyFailed);
    };
    if ((end && has_failed()) || json_value<std::string>(j, "event") != "end" ||
        json_value<std::uint32_t>(j, "attempt") != attempt)
      return;
    end = {attempt, json_value_or(j, "exit_code", 1), json_value_or(j, "reason", std::string()),
           json_value_or(j, "rank", 0)};
  });
  return end;
}

std::map<std::uint32_t, AttemptRecord> attempt_records(const RunPaths& paths) {
  std::map<std::uint32_t, std::time_t> begins;
  std::map<std::uint32_t, AttemptRecord> records;
  for_each_object(paths.attempts(), [&](const nlohmann::json& j) {
    const auto attempt = json_value<std::uint32_t>(j, "attempt");
    const auto event = json_value_or(j, "event", std::string());
    if (!attempt || (event != "begin" && event != "end" && event != "killed")) return;
    AttemptRecord& record = records[*attempt];
    const auto time = parse_utc(json_value_or(j, event == "killed" ? "last_sign_of_life" : "time", std::string()));
    if (event == "begin") {
      if (time) begins[*attempt] = *time;
      record.ranks = json_value_or(j, "ranks", 1);
      record.nodes = json_value_or(j, "nodes", 1);
      const auto ranks = static_cast<std::uint64_t>(std::max(record.ranks, 1));
      record.cores = {json_value_or(j, "threads", ranks), json_value_or(j, "cores_allocated", ranks),
                      json_value_or(j, "cores_used", ranks)};
      return;
    }
    if (record.seconds) return;  // only the first of several ends is used
    // Seconds are preferred to times of day, because clocks are adjusted and differ between a node and a file server.
    if (const auto seconds = json_value<double>(j, "seconds"); seconds && *seconds >= 0)
      record.seconds = *seconds;
    else if (time && begins.contains(*attempt))
      record.seconds = std::max(0.0, std::difftime(*time, begins[*attempt]));
  });
  return records;
}

std::uint32_t tries_without_a_row(const RunPaths& paths, std::uint64_t rows) {
  std::uint32_t tries = 0;
  std::optional<std::string> job;
  for_each_object(paths.attempts(), [&](const nlohmann::json& j) {
    const auto event = json_value_or(j, "event", std::string());
    const bool in_order = event == "end" && json_value_or(j, "exit_code", 1) != 1;
    if (in_order) tries = 0;  // partial answers were saved, which is progress too
    if (event != "begin") return;
    const std::string its_job = json_value_or(j, "slurm_job_id", std::string());
    if (job != its_job || json_value_or(j, "rows_before", rows + 1) != rows) tries = 0;
    job = its_job;
    if (json_value_or(j, "rows_before", rows + 1) == rows) ++tries;
  });
  return tries;
}

}  // namespace moemill::dataset
