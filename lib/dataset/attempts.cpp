#include "dataset/attempts.hpp"

#include <nlohmann/json.hpp>
#include <sstream>

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

std::optional<AttemptEnd> read_end(const RunPaths& paths, std::uint32_t attempt) {
  std::istringstream lines(files::read_text(paths.attempts()).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const auto j = nlohmann::json::parse(line, nullptr, false);
    if (!j.is_object() || value_of<std::string>(j, "event") != "end") continue;
    if (value_of<std::uint32_t>(j, "attempt") != attempt) continue;
    return AttemptEnd{attempt, value_or(j, "exit_code", 1), value_or(j, "reason", std::string()),
                      value_or(j, "rank", 0)};
  }
  return std::nullopt;
}

}  // namespace moemill::dataset
