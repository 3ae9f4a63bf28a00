#include "commands/status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "base/text/format.hpp"
#include "base/text/json_values.hpp"
#include "config/config.hpp"
#include "generate/model_folder.hpp"
#include "job/change.hpp"
#include "job/run_setup.hpp"
#include "mill/summary.hpp"

namespace moemill::mill {
namespace {

using nlohmann::ordered_json;

const char* state_of(const dataset::RunStatus& status) {
  if (status.running) return "running";
  if (!status.exit_code) return "killed";
  switch (static_cast<ExitCode>(*status.exit_code)) {
    case ExitCode::Done: return "done";
    case ExitCode::TooManyFailed: return "done, too many rows failed";
    case ExitCode::Stopped: return "stopped early";
    default: return "failed";
  }
}

// The last line of metrics.jsonl if the current attempt wrote it, otherwise null.
ordered_json metrics_now(const dataset::RunStatus& status) {
  const auto line = parse_json_object<ordered_json>(status.last_metrics);
  return line && json_value<std::uint32_t>(*line, "attempt") == status.manifest.attempts ? *line : ordered_json();
}

std::string next_of_killed(const dataset::RunStatus& status) {
  const std::uint32_t tries = status.tries_without_a_row;
  if (tries < 2)
    return "run the same command again to continue. If the launcher reported 137 (killed) or 9, memory probably ran "
           "out; `moemill validate --ranks R` says how much a rank takes";
  return fmt::format(
      "{} tries in a row were killed before a row was done. The likely cause is memory (the launcher then reports 137 "
      "or 9, Slurm OUT_OF_MEMORY): allow the job more (--mem), start fewer ranks per node, or lower "
      "parallel.max_num_seqs or kv_cache_tokens; `moemill validate --ranks R` says how much a rank takes",
      tries);
}

// Whether outputs.h5 alone had the rows and is gone.
bool rows_are_lost(const dataset::RunStatus& status) {
  return !status.running && status.manifest.shards_removed && !status.manifest.reopening && !status.merged;
}

// What the user can do or wait for next; "" if nothing is left.
std::string next_of(const dataset::RunStatus& status) {
  if (rows_are_lost(status))
    return "restore outputs.h5 from a copy, and the run is done; or make all rows again: run the same command with "
           "--overwrite";
  if (status.running)
    return status.rows_pending == 0 && !status.merged ? "all rows are there, the end is being written" : "";
  const bool ended = status.exit_code == static_cast<int>(ExitCode::Done) ||
                     status.exit_code == static_cast<int>(ExitCode::TooManyFailed);
  const std::string differs = ended ? "" : differing_arithmetic(status.manifest);
  if (!differs.empty())
    return differs + ": let the moemill that began the run finish it, or begin anew with --overwrite";
  if (!status.exit_code) return next_of_killed(status);
  switch (static_cast<ExitCode>(*status.exit_code)) {
    case ExitCode::Done: return "";
    case ExitCode::TooManyFailed:
      return "see /errors of the outputs; --retry-failed makes rows again that can come out otherwise";
    case ExitCode::Usage:
    case ExitCode::Internal: return "fix the cause, then run the same command again to continue (run.log has more)";
    case ExitCode::Stopped: return "run the same command again to continue";
  }
  return "";
}

// A number from the last metrics line, or null.
ordered_json metric(const ordered_json& metrics, const char* name) {
  return metrics.is_object() && metrics.contains(name) ? metrics[name] : ordered_json();
}

std::string shown(const ordered_json& number) {
  return number.is_number() ? thousands(static_cast<std::uint64_t>(std::clamp(number.get<double>(), 0.0, 1e18))) : "?";
}

std::string rate_line(const ordered_json& metrics) {
  if (!metrics.is_object())
    return "rate     not known yet: it is measured every runtime.progress_interval, once the model is loaded\n";
  const ordered_json eta = metric(metrics, "eta_seconds"), time = metric(metrics, "time");
  return fmt::format("rate     tokens/s in {} out {}, {} running{}{}\n",
                     shown(metric(metrics, "prompt_tokens_per_second")),
                     shown(metric(metrics, "generated_tokens_per_second")), shown(metric(metrics, "running")),
                     eta.is_number() ? ", ETA " + clock_text(eta.get<double>()) : "",
                     time.is_string() ? " (measured at " + time.get<std::string>() + ")" : "");
}

// Failed rows by error code. If outputs.h5 is too large to be read each time, they come from the summary.
std::map<std::string, std::uint64_t> failed_by_code(const dataset::RunStatus& status) {
  if (!status.failed_by_code.empty() || status.rows_failed == 0) return status.failed_by_code;
  std::map<std::string, std::uint64_t> codes;
  const auto summary = parse_json_object(status.summary);
  if (!summary) return codes;
  const auto counts = summary->find("failed_by_code");
  if (counts == summary->end() || !counts->is_object()) return codes;
  for (const auto& [code, count] : counts->items())
    if (dataset::parse_error_code(code) && count.is_number_unsigned()) codes[code] = count.get<std::uint64_t>();
  return codes;
}

// "4 ranks × 16 threads on 2 nodes"; `attempt` has the threads of all ranks.
std::string ranks_text(const dataset::AttemptRecord& attempt) {
  const auto ranks = static_cast<std::uint64_t>(std::max(attempt.ranks, 1));
  const std::uint64_t threads = attempt.cores.threads;
  const std::string each = threads % ranks == 0 ? counted(threads / ranks, "thread", "threads")
                                                : counted(threads, "thread", "threads") + " in all";
  return fmt::format("{} {} {} on {}", counted(ranks, "rank", "ranks"), threads % ranks == 0 ? "×" : "with", each,
                     counted(static_cast<std::uint64_t>(std::max(attempt.nodes, 1)), "node", "nodes"));
}

ordered_json ranks_json(const dataset::RunStatus& status) {
  if (!status.attempt) return {};
  return {
      {"ranks", status.attempt->ranks}, {"nodes", status.attempt->nodes}, {"threads", status.attempt->cores.threads}};
}

// Corrects the stored exit code if files have been removed since it was stored.
void correct_exit_code(dataset::RunStatus& status, bool merges) {
  const bool says_done = status.exit_code == static_cast<int>(ExitCode::Done) ||
                         status.exit_code == static_cast<int>(ExitCode::TooManyFailed);
  const bool whole = status.rows_pending == 0 && (status.merged || !merges);
  if (!says_done || whole) return;  // a run in progress has no code
  if (rows_are_lost(status)) {
    status.exit_code = static_cast<int>(ExitCode::Usage);
    status.end_reason = "all rows were done, but outputs.h5 is gone, and the shards were removed when it was whole";
    return;
  }
  status.exit_code = static_cast<int>(ExitCode::Stopped);
  status.end_reason =
      "all rows were done, but some of them or outputs.h5 were removed since (by a killed --retry-failed, --extend or "
      "--overwrite, or by hand)";
}

}  // namespace

dataset::RunStatus read_run_status(const std::string& dir, dataset::RunCounter& counter) {
  const dataset::RunPaths paths{dir};
  // Prompts in journals are done when all their samples are. Without the input, which may have been moved, they count
  // only when their shard is finished.
  std::optional<dataset::PromptFile> prompts;
  SamplingParams defaults;
  bool merges = false;
  try {
    const RunConfig config = parse_resolved(read_text_file(paths.config()), paths.config(), {});
    defaults = config.sampling;
    merges = config.output.merge;
    prompts = open_prompts(config);
  } catch (const UserError&) {
    prompts.reset();
  }
  auto samples = [&](dataset::ShardRange range) -> std::vector<std::uint32_t> {
    if (!prompts || range.first + range.count > prompts->size()) return {};
    return prompts->read_sample_counts(range.first, range.count, defaults);
  };
  dataset::RunStatus status = dataset::read_status(dir, samples, counter);
  correct_exit_code(status, merges);
  return status;
}

int exit_code_of(const dataset::RunStatus& status) {
  if (status.running) return static_cast<int>(ExitCode::Stopped);
  return status.exit_code.value_or(static_cast<int>(ExitCode::Stopped));
}

std::string status_text(const dataset::RunStatus& status, StatusForm form) {
  const auto& m = status.manifest;
  const ordered_json metrics = metrics_now(status);
  const ordered_json in = metric(metrics, "prompt_tokens_per_second"),
                     out = metric(metrics, "generated_tokens_per_second");
  const ordered_json eta = status.running ? metric(metrics, "eta_seconds") : ordered_json();
  if (form == StatusForm::Json) {
    ordered_json j = {{"state", state_of(status)},
                      {"run_id", m.run_id},
                      {"total", m.completions},
                      {"done", status.rows_ok},
                      {"failed", status.rows_failed},
                      {"failed_by_code", failed_by_code(status)},
                      {"pending", status.rows_pending},
                      {"prompts_total", m.prompts},
                      {"prompts_done", status.prompts_done},
                      {"prompts_failed", status.prompts_failed},
                      {"shards_total", m.shard_count()},
                      {"shards_finished", status.shards_finished},
                      {"merged", status.merged},
                      {"attempts", m.attempts},
                      {"attempt", ranks_json(status)},
                      {"tries_without_a_row", status.tries_without_a_row},
                      {"prompt_tokens_per_second", in},
                      {"generated_tokens_per_second", out},
                      {"eta_seconds", eta},
                      {"updated", metric(metrics, "time")},
                      {"exit_code", status.exit_code ? ordered_json(*status.exit_code) : ordered_json()},
                      {"reason", status.end_reason.empty() ? ordered_json() : ordered_json(status.end_reason)}};
    return j.dump() + "\n";
  }
  std::string text = fmt::format("state    {}, attempt {}{}\n", state_of(status), m.attempts,
                                 status.running ? " (" + *status.running + ")" : "");
  if (!status.end_reason.empty()) text += fmt::format("ended    {}\n", status.end_reason);
  text += fmt::format("rows     {} done, {} failed, {} pending, of {}\n", thousands(status.rows_ok),
                      thousands(status.rows_failed), thousands(status.rows_pending), thousands(m.completions));
  if (const auto codes = failed_by_code(status); !codes.empty())
    text += fmt::format("failed   {}\n", codes_text(codes));
  text += fmt::format("prompts  {} done, {} failed, of {}; {} of {} shards finished{}\n",
                      thousands(status.prompts_done), thousands(status.prompts_failed), thousands(m.prompts),
                      thousands(status.shards_finished), thousands(m.shard_count()),
                      status.merged        ? "; outputs.h5 is there"
                      : status.kept_before ? "; outputs-before.h5 has the rows as they were before"
                                           : "");
  if (status.attempt) text += fmt::format("on       {}\n", ranks_text(*status.attempt));
  if (status.running) text += rate_line(metrics);  // the rate of the last interval; a run that has ended has its ledger
  if (const std::string next = next_of(status); !next.empty()) text += fmt::format("next     {}\n", next);
  return text;
}

}  // namespace moemill::mill
