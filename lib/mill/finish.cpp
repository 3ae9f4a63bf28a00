#include "mill/finish.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "dataset/journal.hpp"
#include "dataset/merge.hpp"
#include "mill/agree.hpp"
#include "mill/memory.hpp"

namespace moemill::mill {
namespace {

void count_shard(const dataset::RunPaths& paths, ShardId shard, std::uint64_t prompts, RunCounts& counts) {
  dataset::OutputReader reader(paths.shard(shard));
  counts.rows += reader.rows();
  counts.rows_failed += reader.errors();
  counts.prompts_done += prompts;
  const auto errors = reader.read_errors(0, reader.errors());
  counts.prompts_failed += std::set<std::uint64_t>(errors.prompt_index.begin(), errors.prompt_index.end()).size();
}

void count_journal(const dataset::JournalContents& contents, dataset::ShardRange range,
                   std::span<const std::uint32_t> samples, RunCounts& counts) {
  std::map<std::uint64_t, std::uint32_t> ended;
  std::set<std::uint64_t> failed;
  for (const auto& row : contents.completions) {
    ++counts.rows;
    ++ended[row.prompt_index];
    if (row.status != dataset::RowStatus::Failed) continue;
    ++counts.rows_failed;
    failed.insert(row.prompt_index);
  }
  counts.prompts_failed += failed.size();
  for (const auto& [prompt, rows] : ended) counts.prompts_done += rows == samples[prompt - range.first];
}

// Rank 0's exit code to everyone.
ExitCode told(const Comm& world, ExitCode code) {
  auto bytes = world.broadcast(std::as_bytes(std::span(&code, 1)), 0);
  std::memcpy(&code, bytes.data(), sizeof code);
  return code;
}

void merge(const RunPlan& plan, const RunConfig& config, const dataset::PromptFile& prompts,
           const dataset::RootAttributes& attributes) {
  std::vector<std::string> shards;
  for (std::uint32_t s = 0; s < plan.manifest.shard_count(); ++s)
    shards.push_back(plan.paths.shard({static_cast<std::int32_t>(s)}));
  const auto rows =
      dataset::merge_shards(shards, plan.paths.outputs(), dataset::layout_of(config, prompts), attributes);
  expect(rows == plan.manifest.completions, "outputs.h5 has every row of the run");
}

void say_end(const RunPlan& plan, const RunConfig& config, const Summary& s, const RunCounts& counts, ExitCode code) {
  if (code == ExitCode::Stopped) {
    log::warning("stopped early with {} of {} rows done; everything is saved, run the same command again", counts.rows,
                 plan.manifest.completions);
  } else {
    log::info("all {} rows of {} prompts are done: {}", thousands(counts.rows), thousands(counts.prompts_done),
              config.output.merge ? plan.paths.outputs() : plan.paths.shards());
  }
  if (counts.rows_failed > 0)
    log::warning("{} rows of {} prompts failed ({:.2g} % of the rows, {:.2g} % are accepted): see /errors",
                 counts.rows_failed, counts.prompts_failed,
                 100.0 * static_cast<double>(counts.rows_failed) / static_cast<double>(plan.manifest.completions),
                 100.0 * config.errors.max_failed_fraction);
  fmt::print("{}\n", ledger_line(s, config.cost));
}

}  // namespace

Report start_report(const Ranks& ranks, const RunConfig& config, const RunPlan& plan) {
  Report report;
  Summary& s = report.summary;
  s.prompts_total = plan.manifest.prompts;
  s.ranks = ranks.world.size();
  s.nodes = ranks.nodes;
  s.threads = static_cast<int>(config.parallel.threads_per_rank.value_or(1));
  s.attempts = plan.manifest.attempts;
  s.resumed_rows = plan.rows_before;
  return report;
}

void Report::take(const Comm& world, const Totals& mine, const layers::Forward& forward,
                  const model::ModelConfig& model) {
  Totals all = mine;
  all.take(forward.totals());
  all.peak_rss_bytes = peak_rss_bytes();
  summary.totals = sum_over_ranks(world, all);
  const auto counts = sum_counts(world, forward.expert_counts());
  summary.max_over_mean = max_over_mean(counts, model.moe.experts);
  summary.max_over_mean_balanced = summary.max_over_mean;  // there are no redundant experts to balance with
  summary.kv_bytes_per_token = model::kv_bytes_per_token(model);
}

RunCounts count_run(const dataset::RunPaths& paths, const dataset::RunManifest& manifest, const RunConfig& config,
                    const dataset::PromptFile& prompts) {
  RunCounts counts;
  const dataset::RunListing listing = dataset::list_run(paths);
  for (ShardId shard : listing.finished) count_shard(paths, shard, manifest.range_of(shard).count, counts);
  for (ShardId shard : listing.journals) {
    const auto range = manifest.range_of(shard);
    count_journal(dataset::read_journal(paths.journal(shard), manifest.run_id, shard), range,
                  prompts.read_sample_counts(range.first, range.count, config.sampling), counts);
  }
  return counts;
}

ExitCode exit_code_of(const RunCounts& counts, const dataset::RunManifest& manifest, const ErrorSettings& errors) {
  if (counts.rows < manifest.completions) return ExitCode::Stopped;
  const double accepted = errors.max_failed_fraction * static_cast<double>(manifest.completions);
  return static_cast<double>(counts.rows_failed) > accepted ? ExitCode::TooManyFailed : ExitCode::Done;
}

ExitCode finish_run(const Comm& world, RunPlan& plan, const RunConfig& config, const dataset::PromptFile& prompts,
                    const dataset::RootAttributes& attributes, MillEnd end, Report& report, double started) {
  ExitCode code = ExitCode::Done;
  rank_zero(world, [&] {
    if (end == MillEnd::Finished && config.output.merge) merge(plan, config, prompts, attributes);
    const RunCounts counts = count_run(plan.paths, plan.manifest, config, prompts);
    code = exit_code_of(counts, plan.manifest, config.errors);
    Summary& s = report.summary;
    s.prompts_done = counts.prompts_done;
    s.prompts_failed = counts.prompts_failed;
    s.completions = counts.rows;
    const EarlierAttempts earlier = read_earlier_attempts(plan.paths, plan.manifest.attempts);
    s.totals += earlier.totals;
    s.load_seconds = report.load_seconds + earlier.load_seconds;
    s.wall_seconds = now_seconds() - started + earlier.wall_seconds;
    s.exit_code = static_cast<int>(code);
    files::write_atomically(plan.paths.summary(), to_json(s, config.cost));
    dataset::end_attempt(plan.paths, plan.manifest, s.exit_code);
    say_end(plan, config, s, counts, code);
  });
  return told(world, code);
}

ExitCode already_done(const Comm& world, const RunPlan& plan, const RunConfig& config,
                      const dataset::PromptFile& prompts) {
  ExitCode code = ExitCode::Done;
  rank_zero(world, [&] {
    const RunCounts counts = count_run(plan.paths, plan.manifest, config, prompts);
    code = exit_code_of(counts, plan.manifest, config.errors);
    log::info("all {} rows of {} prompts are done already; nothing to do: {}", thousands(counts.rows),
              thousands(counts.prompts_done), config.output.merge ? plan.paths.outputs() : plan.paths.shards());
    dataset::RunManifest manifest = plan.manifest;
    dataset::end_attempt(plan.paths, manifest, static_cast<int>(code));
  });
  return told(world, code);
}

}  // namespace moemill::mill
