#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "commands.hpp"
#include "commands/validate.hpp"
#include "job/run_job.hpp"
#include "launch.hpp"
#include "options.hpp"
#include "system/comm/agree.hpp"

namespace moemill::app {
namespace {

Options run_options() {
  Options options(
      "moemill run [-c run.yaml] [options]",
      "Generates: reads prompts.h5, writes the run directory. Start it with mpirun or srun on several ranks, or "
      "directly on one.\nRerun the same command to resume a run that was stopped or killed.\n"
      "SIGUSR1, SIGUSR2, SIGTERM and SIGINT save the work in progress and exit with code 75; a second "
      "SIGINT exits immediately.");
  options.examples({"mpirun -n 32 moemill run -c run.yaml", "srun --mpi=pmix moemill run -c run.yaml",
                    "moemill run --model models/Qwen3-30B-A3B -i prompts.h5 --limit 10 --set sampling.temperature=0",
                    "mpirun -n 32 moemill run -c run.yaml --retry-failed"});
  options.add_config_options();
  options.add()("resume", po::value<std::string>()->value_name("auto|always|never")->default_value("auto"),
                "auto: resume an existing run; always: refuse to start a new one; never: refuse to resume");
  options.add()("overwrite", "remove the run in the output directory and start a new one");
  options.add()(
      "retry-failed",
      "retry failed rows of the run that may succeed now; errors.too_long and model.max_model_len may differ from "
      "the run's");
  options.add()("extend",
                "extend the run: more prompts at the end of the input, a larger n, a larger max_tokens for rows that "
                "ended by length");
  options.add()("dry-run", "only check everything as validate does, for this number of ranks");
  options.epilogue(
      "keys of run.yaml (also for --set), defaults, and what is accepted:\n" + mill::describe_keys() +
      "\nThe environment's MOEMILL_ISA (plain, avx2, avx512, avx512_bf16, amx) picks the\nkernel bodies instead of the "
      "fastest ones; the answers are the same.\n");
  return options;
}

mill::Resume parse_resume(const std::string& word) {
  if (word == "auto") return mill::Resume::Auto;
  if (word == "always") return mill::Resume::Always;
  if (word == "never") return mill::Resume::Never;
  user_error("--resume {}: write auto, always or never", word);
}

// Reads what to do with an existing run.
void read_intent(const Options& options, mill::RunRequest& request) {
  request.resume = parse_resume(options.get<std::string>("resume"));
  if (options.has("overwrite")) request.existing = mill::Existing::Overwrite;
  if (options.has("retry-failed")) request.failed_rows = mill::FailedRows::Retry;
  if (options.has("extend")) request.growth = mill::Growth::Allowed;
  if (!options.has("overwrite")) return;
  if (request.resume == mill::Resume::Always)
    user_error("--overwrite starts a new run and --resume always requires an existing one: leave one of them out");
  if (options.has("retry-failed"))
    user_error("--overwrite starts a new run and leaves no failed rows for --retry-failed: leave one of them out");
  if (options.has("extend"))
    user_error("--overwrite starts a new run and leaves no rows for --extend: leave one of them out");
}

mill::RunRequest read_request(const Options& options) {
  mill::RunRequest request{options.read_config().config};
  read_intent(options, request);
  if (request.config.runtime.log_level.empty()) request.config.runtime.log_level = "info";
  return request;
}

// All ranks read the command line, but only rank 0 reads the config file, so that all ranks use the same text.
std::optional<mill::RunRequest> agree_on_request(const Comm& world, const Words& words) {
  Options options = run_options();
  mill::RunRequest request;
  std::string yaml;
  bool wanted = true;
  run_on_rank_zero(world, [&] {
    wanted = options.parse(words);
    if (!wanted) return;
    request = read_request(options);
    yaml = mill::to_yaml(request.config);
  });
  auto bytes = world.broadcast(std::as_bytes(std::span(yaml)), 0);
  if (bytes.empty()) return std::nullopt;  // --help
  if (world.rank() != 0) {
    options.parse(words);
    yaml.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    request.config = mill::parse_resolved(yaml, "the config of rank 0", {});
    read_intent(options, request);
  }
  if (!options.has("dry-run")) return request;
  run_on_rank_zero(world, [&] {
    log::start(log::parse_level(request.config.runtime.log_level), world.rank(), world.size());
    mill::ValidateRequest dry{request, static_cast<std::uint32_t>(world.size()),
                              request.config.parallel.ranks_per_node};
    if (mill::validate(dry) != ExitCode::Done) user_error("the dry run found the faults above");
  });
  return std::nullopt;
}

ExitCode run_on(const Comm& world, std::optional<mill::StopSignals>& signals, const Words& words, double started) {
  auto request = agree_on_request(world, words);
  if (!request) return ExitCode::Done;
  log::start(log::parse_level(request->config.runtime.log_level), world.rank(), world.size());
  return mill::run_job(world, signals.value(), *request, started);
}

}  // namespace

int run(const Words& words) {
  const double started = now_seconds();
  // Signals are set up before MPI starts threads. A dry run only checks, and a signal may end it.
  std::optional<mill::StopSignals> signals;
  if (std::find(words.begin(), words.end(), "--dry-run") == words.end()) signals.emplace();
  Launch launch;
  const Comm world = launch.world();
  return on_all_ranks(world, [&] { return static_cast<int>(run_on(world, signals, words, started)); });
}

}  // namespace moemill::app
