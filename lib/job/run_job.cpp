#include "job/run_job.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/arithmetic.hpp"
#include "base/build_info.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/text/format.hpp"
#include "config/config.hpp"
#include "dataset/run_dir/attempts.hpp"
#include "generate/double_bos.hpp"
#include "generate/engine.hpp"
#include "generate/model_folder.hpp"
#include "job/announce.hpp"
#include "job/estimate.hpp"
#include "job/expert_loads.hpp"
#include "job/finish.hpp"
#include "job/keep_picks.hpp"
#include "job/node_load.hpp"
#include "job/prediction.hpp"
#include "job/run_log.hpp"
#include "job/settle_domain.hpp"
#include "job/take_lock.hpp"
#include "mill/mill.hpp"
#include "plan/fit.hpp"
#include "plan/ranks.hpp"
#include "system/comm/agree.hpp"
#include "system/files/open_files.hpp"
#include "weights/stored_model.hpp"

namespace moemill::mill {
namespace {

// The model folder and the input, opened before the first weight is read.
struct Opened {
  ModelFolder model;
  dataset::PromptFile prompts;
};

Opened open_inputs(const Comm& world, const RunConfig& config, std::optional<ExpertSum> of_run) {
  std::optional<Opened> opened;
  std::vector<std::string> warnings;  // on rank 0
  run_on_all_ranks(world, [&] {
    ModelFolder model = open_model(config.model, of_run);
    dataset::PromptFile prompts = open_prompts(config);
    check_model_can(model, config, prompts);
    opened.emplace(Opened{std::move(model), std::move(prompts)});
    if (world.rank() == 0) warnings = warnings_of(opened->model, config, opened->prompts);
  });
  if (world.rank() == 0) {
    for (const auto& warning : warnings) log::warning("{}", warning);
    for (const auto& warning : opened->prompts.warnings()) log::warning("{}", warning);
  }
  return std::move(*opened);
}

// Warns about prompts that already begin with the token that is added before every prompt, such as a BOS. Returns their
// number.
std::uint64_t warn_of_double_bos(const Comm& world, const RunConfig& config, const Opened& in) {
  const FrontTokens front(in.model.tokenizer_or_null());
  const std::uint64_t count = count_doubled(world, in.prompts, config.sampling, front);
  if (count > 0 && world.rank() == 0) log::warning("{}", front.warning(count, in.prompts.size()));
  return count;
}

// SLURM_JOB_ID, or "" outside Slurm.
std::string slurm_job_id() {
  const char* job = std::getenv("SLURM_JOB_ID");
  return job ? job : "";
}

dataset::RootAttributes root_attributes(const RunPlan& plan, const RunConfig& config, int world_size) {
  const auto& fingerprints = plan.manifest.fingerprints;
  auto fingerprint = [&](const char* name) {
    return fingerprints.contains(name) ? fingerprints.at(name) : std::string();
  };
  return {plan.manifest.run_id,
          plan.manifest.created_utc,
          to_yaml(config),
          fingerprint("input_sha256"),
          fingerprint("model_sha256"),
          fingerprint("tokenizer_sha256"),
          backend_name(config.runtime.backend, config.model.arithmetic),
          config.model.dtype,
          world_size,
          slurm_job_id(),
          fingerprint("input_columns"),
          std::string(definition_of(config.model.arithmetic, config.model.expert_sum.value()))};
}

// The reason to stop before the model is loaded, or "". Asked at this point because reading and hashing the inputs may
// have taken long, and loading the model will. Collective.
std::string reason_to_stop_early(const Comm& world, StopWish& stop) {
  const char mine = stop.ask() ? 1 : 0;
  const std::vector<char> all = gather(world, mine);
  const auto first = std::find(all.begin(), all.end(), 1);
  if (first == all.end()) return "";
  const std::string reason = broadcast_text(world, stop.ask().value_or(""), static_cast<int>(first - all.begin()));
  if (world.rank() == 0) log::warning("stopping early because of {}, before the model is loaded", reason);
  return reason;
}

Progress::Goal goal_of(const RunPlan& plan) {
  return {plan.manifest.prompts, plan.manifest.completions, plan.before, plan.manifest.attempts};
}

// What rank 0 expects of the attempt, before its first step. Earlier attempts say how long answers are.
RunPrediction expect_attempt(const RunCalibration& calibration, const Ranks& ranks, const Engine& engine,
                             const RunPlan& plan, const JobEstimate& job, const RunConfig& config,
                             const model::ModelConfig& model, const PredictedSteps& steps) {
  std::optional<double> answer;
  if (plan.before.rows > 0) {
    const Totals earlier = read_earlier_attempts(plan.paths, plan.manifest.attempts).totals;
    if (earlier.generated_tokens > 0)  // a killed attempt may have left none
      answer = static_cast<double>(earlier.generated_tokens) / static_cast<double>(plan.before.rows);
  }
  const WorkLengths lengths = lengths_of(job, config.sampling, answer);
  const DryRunSettings run{calibration.ranks, plan.manifest.shard_prompts,
                           scheduler_settings(config.parallel, engine.kv_pages(), model)};
  const BackendMemory memory = engine.backend().memory();
  const double weight_bytes = static_cast<double>(memory.weights) +
                              static_cast<double>(memory.node_weights) / ranks.mates.size();  // mates load together
  RunPrediction expected = expect_work(calibration, {lengths, run, weight_bytes}, steps);
  log::info("forecast by {}: {}", calibration.source,
            forecast_text(expected.expected, answer ? Answers::AsBefore : Answers::ReachLimit));
  return expected;
}

// Nothing if the ranks stop before the model is loaded; the report has the reason.
std::optional<Engine> load_model(const Ranks& ranks, const RunConfig& config, const Opened& in, const JobEstimate& job,
                                 std::span<const std::uint64_t> expert_loads, StopWish& stop, Report& report) {
  report.stop_reason = reason_to_stop_early(ranks.world, stop);
  if (!report.stop_reason.empty()) return std::nullopt;
  try {
    return std::optional<Engine>(
        std::in_place, config, in.model, ranks, job, [&] { stop.check(); }, expert_loads);
  } catch (const AgreedFailure& e) {
    if (e.code() != ExitCode::Stopped) throw;
    if (ranks.world.rank() == 0) log::warning("stopping early because of {}, while the model is loaded", e.what());
    report.stop_reason = e.what();
    return std::nullopt;
  }
}

// Loads the model and runs the loop until nothing is left or the ranks agree to drain.
MillEnd generate(Ranks& ranks, const RunConfig& config, const Opened& in, RunPlan& plan,
                 std::optional<RunCalibration>& calibration, const dataset::RootAttributes& attributes, StopWish& stop,
                 double started, Report& report) {
  const Comm& world = ranks.world;
  const PrepareRules rules = prepare_rules(config, in.model);
  const text::Tokenizer* tokenizer = in.model.tokenizer_or_null();
  const std::uint64_t before_survey = process_bytes();
  JobEstimate job =
      estimate_job(world, {in.prompts, config.sampling, tokenizer, rules, config.parallel.prefix_cache != "off"},
                   plan.paths, plan.manifest, plan.unfinished);
  settle_domain(ranks, config, in.model.config, job, before_survey);
  log_prefixes(world, job);
  if (calibration) calibration->set_domain(config.parallel, in.model.config, ranks);
  const std::vector<std::uint64_t> loads = loads_of_run(world, config, in.model.config, plan.manifest, plan.paths);
  std::optional<Engine> loaded = load_model(ranks, config, in, job, loads, stop, report);
  if (!loaded) return MillEnd::Drained;
  Engine& engine = *loaded;
  run_on_rank_zero(world, [&] {
    check_same_weights(plan, engine.weights_digest());
    keep_config(plan, config);
  });
  const ShardInputs inputs{in.prompts, plan.paths, plan.manifest, config.sampling, tokenizer, rules, job.prefixes};
  const dataset::OutputLayout layout = dataset::layout_of(config, in.prompts);
  std::optional<PredictedSteps> steps;
  if (calibration) steps.emplace(StepSeconds(calibration->predictors, calibration->ranks_of_domain));
  std::optional<RunPrediction> expected;
  std::optional<Progress> progress;
  run_on_rank_zero(world, [&] {
    announce(plan, config, in.model, in.prompts, ranks, engine);
    if (calibration)
      expected.emplace(expect_attempt(*calibration, ranks, engine, plan, job, config, in.model.config, *steps));
    progress.emplace(plan.paths.metrics(), goal_of(plan), started, expected ? &*expected : nullptr);
  });
  Mill mill({world, ranks.domain, engine.generator(), engine.backend(), inputs, plan.unfinished, layout, attributes,
             stop, progress ? &*progress : nullptr, config.output.journal_flush_seconds,
             config.runtime.progress_interval_seconds, steps ? &*steps : nullptr, config.parallel.micro_batches},
            schedule::LotList(std::move(job.lots)));  // there may be many: each rank holds them once
  report.load_seconds = now_seconds() - started;
  const MillEnd end = mill.run();
  report.stop_reason = mill.drain_reason();
  report.take(ranks, mill.totals(), engine.generator().row_seconds(), engine, in.model.config);
  StepParts parts;
  if (steps) parts = {mean_over_ranks(world, steps->predicted()), mean_over_ranks(world, steps->measured())};
  run_on_rank_zero(world, [&] {
    if (expected)
      report.predicted = predicted_attempt(*calibration, *expected, parts, report.summary.totals, report.load_seconds,
                                           now_seconds() - started);
    const auto experts = static_cast<std::size_t>(in.model.config.moe.experts);
    progress->finish(report.summary.totals,
                     {report.expert_load, report.expert_counts, experts, report.row_seconds, report.predicted});
    keep_picks(engine, in.model.config, plan.manifest, plan.paths.picks());
    keep_loads(config, in.model.config, plan.manifest, plan.paths, report.expert_counts);
    log_node_load(report.expert_load, config.parallel, engine.nodes().nodes());
  });
  return end;
}

// Keeps the hashes of the columns, so that each rank checks the prompts that it reads hours later. The manifest of an
// older moemill has no such hashes.
void check_contents_later(const Comm& world, const RunPlan& plan, dataset::PromptFile& prompts) {
  const auto& fingerprints = plan.manifest.fingerprints;
  const std::string stamp = broadcast_text(world, prompts.stamp_when_opened(), 0);
  run_on_all_ranks(world, [&] {
    if (fingerprints.contains("input_columns"))
      prompts.hold_to({fingerprints.at("input_sha256"), fingerprints.at("input_columns")}, stamp);
  });
}

// What only rank 0 owns, until the end of the job.
struct RankZero {
  RunLog log;
  std::optional<dataset::RunLock> lock;
};

// Text such as "2 ranks on 1 node (n07), Slurm job 4711, moemill 0.1.0 (3f2a9c1)".
std::string job_header(const Ranks& ranks) {
  const std::string job = slurm_job_id();
  return fmt::format(
      "{} on {} ({}){}{}, moemill {} ({})", counted(static_cast<std::uint64_t>(ranks.world.size()), "rank", "ranks"),
      counted(static_cast<std::uint64_t>(ranks.nodes), "node", "nodes"), fmt::join(ranks.hosts, " "),
      job.empty() ? "" : ", Slurm job ", job, build_info::version(), build_info::git_commit().substr(0, 12));
}

void check_is_folder(const std::string& dir) {
  std::error_code ignored;
  const auto status = std::filesystem::symlink_status(dir, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_directory(dir, ignored))
    user_error("{}: is neither a folder nor a link to one: output.dir names the folder of the run", dir);
}

// Records the end of a killed attempt, which could not do so itself. Must run before anything that may refuse this
// job, because the next job would find the heartbeat of this job in run.lock and no longer that of the killed one.
void record_killed(const dataset::RunPaths& paths, const dataset::RunLock& lock) {
  const auto last = dataset::read_manifest(paths);
  const auto heartbeat = lock.last_heartbeat_of_killed();
  if (!last || last->attempts == 0 || last->exit_code || !heartbeat) return;
  if (const auto records = dataset::attempt_records(paths);
      records.contains(last->attempts) && records.at(last->attempts).seconds)
    return;
  record_or_warn(paths, dataset::AttemptKilled{last->attempts, static_cast<std::time_t>(*heartbeat),
                                               lock.seconds_held_by_killed()});
  log::warning(
      "attempt {} was killed: if the launcher reported 137 or 9, usually because memory ran out (allow the job more, "
      "or start fewer ranks per node); finished rows are kept",
      last->attempts);
}

// Rank 0 takes the lock, inspects the run directory and sends the plan to the other ranks. The log begins as soon as
// the run exists.
RunPlan agree_on_plan(const Ranks& ranks, const RunRequest& request, const Opened& in, StopWish& stop,
                      std::optional<RankZero>& zero, dataset::RunCounter& counter) {
  const RunConfig& config = request.config;
  RunPlan plan;
  run_on_rank_zero(ranks.world, [&] {
    for (const auto& warning : model::check_model_files(config.model.path, in.model.config, config.model.load_format))
      log::warning("{}", warning);
    const Fingerprints fingerprints = fingerprints_of(config, in.model, in.prompts);
    const dataset::RunPaths paths{config.output.dir};
    find_run(request);  // throws before the lock is taken, so that a refused request leaves no lock
    check_is_folder(paths.dir);
    take_lock(zero->lock, paths, stop);
    const bool resumes = request.existing == Existing::Keep && files::exists(paths.manifest());
    if (resumes) zero->log.open(paths, job_header(ranks));
    if (resumes) record_killed(paths, *zero->lock);
    plan = open_run(request, in.model, in.prompts, fingerprints, counter);
    if (!resumes) zero->log.open(paths, job_header(ranks));
  });
  return share(ranks.world, plan);
}

void begin_attempt(RunPlan& plan, const Ranks& ranks) {
  dataset::begin_attempt(plan.paths, plan.manifest);
  record_or_warn(plan.paths, dataset::AttemptBegin{plan.manifest.attempts, ranks.world.size(), ranks.nodes, ranks.hosts,
                                                   slurm_job_id(), plan.before.rows, attempt_cores(ranks)});
  log::note(log::Level::Info, fmt::format("==== attempt {} begins, {} of {} rows", plan.manifest.attempts,
                                          rows_text(plan.before), thousands(plan.manifest.completions)));
}

// Reports the original failure even if recording it also fails. An agreed failure is recorded by rank 0; a failure
// on one rank within a step is recorded by that rank, before it aborts the others.
void store_failure(RunPlan& plan, const Ranks& ranks, const Failure& failure, double started) {
  const Comm& world = ranks.world;
  try {
    const int code = static_cast<int>(failure.code);
    if (world.rank() != 0 && !failure.agreed) append_to_run_log(plan.paths, attribution(world, failure));
    if (world.rank() == 0 || !failure.agreed)
      record_or_warn(plan.paths, dataset::AttemptEnd{plan.manifest.attempts, code, failure.text, world.rank(),
                                                     now_seconds() - started, attempt_cores(ranks)});
    if (world.rank() == 0) dataset::end_attempt(plan.paths, plan.manifest, code);
  } catch (const std::exception& e) {
    log::warning("the exit code could not be stored in the run directory: {}", e.what());
  }
}

// Not called for a job that is refused or has nothing to compute.
void report_cores(const Ranks& ranks) {
  const SlurmJob job = slurm_job([](const char* name) { return std::getenv(name); });
  log::info("{}", cores_line(ranks.cores.use, job));
  for (const auto& warning : core_warnings(ranks.cores.use, job)) log::warning("{}", warning);
}

ExitCode run_attempt(const Comm& world, StopSignals& signals, const RunRequest& asked, double started,
                     std::optional<RankZero>& zero) {
  RunRequest request = asked;
  const RunConfig& config = request.config;
  std::optional<StopFile> stop_file;  // on rank 0
  run_on_rank_zero(world, [&] { stop_file.emplace(config.output.dir, config.runtime.stop_file); });
  Ranks ranks = arrange_ranks(world, config.parallel);
  Opened in = open_inputs(world, config, agree_on_expert_sum(world, asked));
  request.config = with_settings_of(asked.config, in.model, in.prompts);
  std::optional<RunCalibration> calibration = open_calibration(config, in.model.config, ranks);
  StopWish stop(signals, config.runtime, started);
  if (stop_file) stop.look_for(*stop_file);
  if (world.rank() == 0 && !stop.warning().empty()) log::warning("{}", stop.warning());
  dataset::RunCounter counter;  // counts on rank 0
  RunPlan plan = agree_on_plan(ranks, request, in, stop, zero, counter);
  run_on_rank_zero(world, [&] {
    if (plan.unfinished.empty())
      keep_config(plan, config);  // otherwise generate() writes config.yaml once the weights are loaded
  });
  if (is_finished(world, plan, config)) return report_already_finished(world, plan, config, stop);
  run_on_rank_zero(world, [&] {
    stop_file->remove_old();
    begin_attempt(plan, ranks);
    if (!plan.unfinished.empty()) report_cores(ranks);
  });
  plan = share(world, plan);
  try {
    check_contents_later(world, plan, in.prompts);
    const dataset::RootAttributes attributes = root_attributes(plan, config, world.size());
    Report report = start_report(ranks, in.model.config, plan);
    report.summary.double_bos_prompts = warn_of_double_bos(world, config, in);
    MillEnd end = MillEnd::Finished;
    if (!plan.unfinished.empty())
      end = generate(ranks, config, in, plan, calibration, attributes, stop, started, report);
    return finish_run(world, plan, config, in.prompts, attributes, end, report, stop, counter, started);
  } catch (...) {
    store_failure(plan, ranks, describe_current_exception(), started);
    throw;
  }
}

}  // namespace

ExitCode run_job(const Comm& world, StopSignals& signals, const RunRequest& request, double started) {
  files::allow_many_open_files();
  std::optional<RankZero> zero;
  if (world.rank() == 0) zero.emplace();
  try {
    return run_attempt(world, signals, request, started, zero);
  } catch (...) {
    const Failure failure = describe_current_exception();
    if (zero) log::note(log::Level::Error, failure.agreed ? failure.text : attribution(world, failure));
    if (zero && zero->lock && !failure.agreed && world.size() > 1) zero->lock->leave_unreleased();
    throw;
  }
}

}  // namespace moemill::mill
