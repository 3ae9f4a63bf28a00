#include "job/finish.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/text/format.hpp"
#include "base/text/json_values.hpp"
#include "dataset/outputs/merge.hpp"
#include "dataset/run_dir/attempts.hpp"
#include "job/change.hpp"
#include "job/node_load.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/memory.hpp"

namespace moemill::mill {
namespace {

// Rank 0's value, on every rank.
template <class T>
T from_rank_zero(const Comm& world, T value) {
  auto bytes = world.broadcast(std::as_bytes(std::span(&value, 1)), 0);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

void merge(const RunPlan& plan, const RunConfig& config, const dataset::PromptFile& prompts,
           const dataset::RootAttributes& attributes, StopWish& stop) {
  std::vector<std::string> shards;
  for (std::uint32_t s = 0; s < plan.manifest.shard_count(); ++s)
    shards.push_back(plan.paths.shard({static_cast<std::int32_t>(s)}));
  dataset::merge_shards(shards, plan.paths.outputs(), dataset::layout_of(config, prompts), attributes,
                        plan.manifest.completions, [&] { stop.check(); });
}

// summary.json, or an empty object when it is absent or damaged.
nlohmann::ordered_json read_summary(const dataset::RunPaths& paths) {
  return parse_json_object<nlohmann::ordered_json>(files::read_text(paths.summary()).value_or(""))
      .value_or(nlohmann::ordered_json::object());
}

// Whether all rows are in the files that the user asked for. After a drain, all of them may be on disk but not merged.
bool is_in_files(const RunPlan& plan, const RunConfig& config, bool merged) {
  if (config.output.merge) return merged;
  return dataset::list_run(plan.paths, plan.manifest).finished.size() == plan.manifest.shard_count();
}

// Removes the files whose rows outputs.h5 has as well: the shards and the outputs.h5 from before a change. Called last,
// when everything else is written; if it is stopped or killed, the next start completes it.
void remove_duplicates(RunPlan& plan, const RunConfig& config, StopWish& stop) {
  files::remove(plan.paths.outputs_before());
  if (!config.output.merge || config.output.keep_shards || !is_merged(plan.paths, plan.manifest)) return;
  try {
    const std::size_t removed = dataset::remove_merged_shards(plan.paths, plan.manifest, [&] { stop.check(); });
    if (removed > 0)
      log::info("{} has been read back and is whole: its {} removed (output.keep_shards: false)", plan.paths.outputs(),
                counted(removed, "shard is", "shards are"));
  } catch (const StopRequested& e) {
    log::info(
        "{} has all rows; its shards stay, because {} came before it was read back: run the same command again to "
        "remove them",
        plan.paths.outputs(), e.what());
  }
}

// The path that has the rows. Removed shards are not restored when output.merge is switched off.
std::string files_of_rows(const RunPlan& plan, const RunConfig& config) {
  return config.output.merge || plan.manifest.shards_removed ? plan.paths.outputs() : plan.paths.shards();
}

void store_code(const dataset::RunPaths& paths, ExitCode code) {
  auto summary = read_summary(paths);
  if (summary["exit_code"] == static_cast<int>(code)) return;
  summary["exit_code"] = static_cast<int>(code);
  files::write_atomically(paths.summary(), summary.dump(2) + "\n");
}

// A fault here, such as a damaged outputs.h5, ends the job, so that summary.json and run.json do not report success.
void remove_duplicates_at_the_end(RunPlan& plan, const RunConfig& config, StopWish& stop) {
  try {
    remove_duplicates(plan, config, stop);
  } catch (...) {
    const ExitCode code = describe_current_exception().code;
    try {
      store_code(plan.paths, code);
      dataset::end_attempt(plan.paths, plan.manifest, static_cast<int>(code));
    } catch (const SystemError& e) {
      log::warning("the exit code is not in the run directory: {}", e.what());  // the original failure is reported
    }
    throw;
  }
}

// All attempts with a calibration. What this one did since its last step is idle time.
std::optional<Predicted> predicted_of_run(const Report& report, const EarlierAttempts& earlier, double seconds) {
  std::optional<Predicted> sum = earlier.predicted;
  if (!report.predicted) return sum;
  Predicted mine = *report.predicted;
  mine.measured.idle += std::max(0.0, seconds - mine.measured.wall());
  add_to(sum, mine);
  return sum;
}

std::string end_text(ExitCode code, const RunCounts& counts, const Report& report) {
  if (code == ExitCode::Stopped) return "stopped early because of " + report.stop_reason;
  if (counts.rows_failed == 0) return "all rows are done";
  return fmt::format("all rows have ended, {} of them failed{}", thousands(counts.rows_failed),
                     code == ExitCode::TooManyFailed ? ", which is too many" : "");
}

void warn_of_failed(const RunCounts& counts, const RunPlan& plan, const RunConfig& config) {
  if (counts.rows_failed == 0) return;
  const auto can_change = [&](const char* code) { return counts.failed_by_code.contains(code); };
  log::warning(
      "{} rows of {} prompts failed: {} ({:.1f} % of the rows, {:.1f} % are accepted). Why, row by row: outputs.py {} "
      "--status failed{}{}",
      thousands(counts.rows_failed), thousands(counts.prompts_failed),
      counts.failed_by_code.empty() ? "codes in /errors" : codes_text(counts.failed_by_code),
      100.0 * static_cast<double>(counts.rows_failed) / static_cast<double>(plan.manifest.completions),
      100.0 * config.errors.max_failed_fraction, plan.paths.dir,
      can_change("internal") ? ". --retry-failed makes internal ones again" : "",
      can_change("too_long")
          ? ". --retry-failed with another errors.too_long or model.max_model_len makes too_long ones again"
          : "");
}

// The largest of each number.
MemoryUse most_of(const std::vector<MemoryUse>& ranks) {
  MemoryUse most;
  for (const MemoryUse& rank : ranks) {
    most.rank_private_bytes = std::max(most.rank_private_bytes, rank.rank_private_bytes);
    most.node_shared_bytes = std::max(most.node_shared_bytes, rank.node_shared_bytes);
    most.huge_page_bytes = std::max(most.huge_page_bytes, rank.huge_page_bytes);
  }
  return most;
}

// "all 256 rows of 128 prompts are done", or how many are not.
std::string progress_text(const RunPlan& plan, const RunCounts& counts) {
  if (counts.rows_failed == 0)
    return fmt::format("all {} rows of {} prompts are done", thousands(counts.rows), thousands(plan.manifest.prompts));
  return fmt::format("all {} rows of {} prompts have ended, {}", thousands(counts.rows),
                     thousands(plan.manifest.prompts), rows_text(counts));
}

// Writes without the stream: a failed stream would fail the command, and the ledger is in run.log and summary.json too.
void print_ledger(const std::string& text) {
  std::fflush(stdout);
  for (std::string_view left = text; !left.empty();) {
    const ssize_t done = ::write(STDOUT_FILENO, left.data(), left.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return;
    left.remove_prefix(static_cast<std::size_t>(done));
  }
}

void report_end(const RunPlan& plan, const RunConfig& config, const Summary& s, const RunCounts& counts,
                ExitCode code) {
  if (code == ExitCode::Stopped) {
    log::warning("stopped early with {} of {} rows; everything is saved, run the same command again", rows_text(counts),
                 thousands(plan.manifest.completions));
  } else {
    log::info("{}: {}", progress_text(plan, counts), files_of_rows(plan, config));
  }
  warn_of_failed(counts, plan, config);
  std::vector<std::string> ledger{ledger_line(s, config.cost)};
  const bool is_first = plan.manifest.attempts == 1;
  if (s.predicted)
    ledger.push_back("ledger: " + text_of(*s.predicted));
  else if (is_first)
    ledger.push_back("ledger: " + calibration_hint(s.ranks, config.model.path));
  for (const std::string& line : ledger) {
    print_ledger(line + "\n");
    log::note(log::Level::Info, line);
  }
}

}  // namespace

dataset::AttemptCores attempt_cores(const Ranks& ranks) {
  const CoreUse& use = ranks.cores.use;
  const SlurmJob job = slurm_job([](const char* name) { return std::getenv(name); });
  return {use.threads, allocated_cores(use, job), use.busy()};
}

void record_or_warn(const dataset::RunPaths& paths, const auto& line) {
  try {
    dataset::record(paths, line);
  } catch (const SystemError& e) {
    log::warning("attempts.jsonl lacks a line, the job continues: {}", e.what());
  }
}
template void record_or_warn(const dataset::RunPaths&, const dataset::AttemptBegin&);
template void record_or_warn(const dataset::RunPaths&, const dataset::AttemptEnd&);
template void record_or_warn(const dataset::RunPaths&, const dataset::AttemptKilled&);

Report start_report(const Ranks& ranks, const model::ModelConfig& model, const RunPlan& plan) {
  Report report;
  Summary& s = report.summary;
  s.prompts_total = plan.manifest.prompts;
  s.ranks = ranks.world.size();
  s.nodes = ranks.nodes;
  s.cores = attempt_cores(ranks);
  s.attempts = plan.manifest.attempts;
  s.resumed_rows = plan.before.rows;
  s.kv_bytes_per_token = model::kv_bytes_per_token(model);
  s.totals.peak_rss_bytes = peak_rss_bytes();
  return report;
}

void Report::take(const Ranks& ranks, const Totals& mine, const RowSeconds& rows, const Engine& engine,
                  const model::ModelConfig& model) {
  const Comm& world = ranks.world;
  Totals all = mine;
  all.take(engine.backend().totals());
  const MemoryUse memory = engine.memory_use();
  all.peak_rss_bytes = memory.peak_bytes;
  summary.totals = sum_over_ranks(world, all);
  summary.memory = most_of(gather(world, memory));
  expert_counts = sum_counts(world, engine.backend().expert_counts());
  row_seconds = rows.over_ranks(world);
  const Totals& t = summary.totals;
  const NodeLoad nodes = node_load(ranks, engine, model);
  expert_load = {max_over_mean(expert_counts, model.moe.experts), t.prompt_tokens + t.generated_tokens, nodes.in_slices,
                 nodes.as_placed};
}

std::string rows_text(const RunCounts& counts) {
  const std::string done = thousands(counts.rows - counts.rows_failed) + " done";
  return counts.rows_failed == 0 ? done : done + fmt::format(" and {} failed", thousands(counts.rows_failed));
}

ExitCode exit_code_of(const RunCounts& counts, const dataset::RunManifest& manifest, const ErrorSettings& errors) {
  if (counts.rows < manifest.completions) return ExitCode::Stopped;
  const double accepted = errors.max_failed_fraction * static_cast<double>(manifest.completions);
  return static_cast<double>(counts.rows_failed) > accepted ? ExitCode::TooManyFailed : ExitCode::Done;
}

ExitCode finish_run(const Comm& world, RunPlan& plan, const RunConfig& config, const dataset::PromptFile& prompts,
                    const dataset::RootAttributes& attributes, MillEnd end, Report& report, StopWish& stop,
                    dataset::RunCounter& counter, double started) {
  ExitCode code = ExitCode::Done;
  run_on_rank_zero(world, [&] {
    const bool merged = is_merged(plan.paths, plan.manifest);
    bool stopped = end == MillEnd::Drained && !is_in_files(plan, config, merged);
    try {
      if (end == MillEnd::Finished && config.output.merge && !merged) merge(plan, config, prompts, attributes, stop);
    } catch (const StopRequested& e) {
      log::warning("stopping early because of {}, before the shards are merged", e.what());
      report.stop_reason = e.what();
      stopped = true;
    }
    const RunCounts counts = counter.count(plan.paths, plan.manifest, sample_counts(config, prompts));
    code = stopped ? ExitCode::Stopped : exit_code_of(counts, plan.manifest, config.errors);
    Summary& s = report.summary;
    s.prompts_done = counts.prompts_done;
    s.prompts_failed = counts.prompts_failed;
    s.failed_by_code = counts.failed_by_code;
    s.completions = counts.rows;
    const EarlierAttempts earlier = read_earlier_attempts(plan.paths, plan.manifest.attempts);
    s.totals.add_attempt(earlier.totals);
    s.row_seconds = report.row_seconds;
    s.row_seconds += earlier.row_seconds;
    s.expert_load = report.expert_load += earlier.expert_load;
    s.load_seconds = report.load_seconds + earlier.load_seconds;
    const double seconds = now_seconds() - started;
    s.wall_seconds = seconds + earlier.wall_seconds;
    s.predicted = predicted_of_run(report, earlier, seconds);
    s.held = earlier.held;
    s.held.add(seconds, s.ranks, s.nodes, s.cores);
    s.exit_code = static_cast<int>(code);
    files::write_atomically(plan.paths.summary(), to_json(s, config.cost));
    dataset::end_attempt(plan.paths, plan.manifest, s.exit_code);
    record_or_warn(plan.paths, dataset::AttemptEnd{plan.manifest.attempts, s.exit_code, end_text(code, counts, report),
                                                   0, now_seconds() - started, s.cores});
    report_end(plan, config, s, counts, code);
    if (!stopped) remove_duplicates_at_the_end(plan, config, stop);
    log::note(log::Level::Info, fmt::format("==== attempt {} ends with exit code {}: {}", plan.manifest.attempts,
                                            s.exit_code, end_text(code, counts, report)));
  });
  return from_rank_zero(world, code);
}

bool is_finished(const Comm& world, const RunPlan& plan, const RunConfig& config) {
  bool finished = false;
  run_on_rank_zero(world, [&] {
    if (!plan.unfinished.empty() || (config.output.merge && !is_merged(plan.paths, plan.manifest))) return;
    const auto summary = read_summary(plan.paths);
    finished = json_value<std::uint32_t>(summary, "attempts") == plan.manifest.attempts &&
               json_value<std::uint64_t>(summary, "completions") == plan.manifest.completions;
  });
  return from_rank_zero(world, finished);
}

ExitCode report_already_finished(const Comm& world, RunPlan& plan, const RunConfig& config, StopWish& stop) {
  ExitCode code = ExitCode::Done;
  run_on_rank_zero(world, [&] {
    const RunCounts& counts = plan.before;
    remove_duplicates_at_the_end(plan, config, stop);
    code = exit_code_of(counts, plan.manifest, config.errors);
    log::info("{} already; nothing to do: {}", progress_text(plan, counts), files_of_rows(plan, config));
    warn_of_failed(counts, plan, config);
    store_code(plan.paths, code);  // errors.max_failed_fraction may have changed
    dataset::end_attempt(plan.paths, plan.manifest, static_cast<int>(code));
  });
  return from_rank_zero(world, code);
}

}  // namespace moemill::mill
