#include "bench/calibrate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <filesystem>
#include <optional>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text/path_text.hpp"
#include "bench/file_rates.hpp"
#include "bench/machine_rates.hpp"
#include "bench/print_calibration.hpp"
#include "bench/steps/bench_nodes.hpp"
#include "bench/steps/cut_model.hpp"
#include "bench/steps/measure_stages.hpp"
#include "schedule/facts.hpp"
#include "system/comm/agree.hpp"
#include "system/files/files.hpp"
#include "system/files/shipped_files.hpp"
#include "weights/stored_model.hpp"

namespace moemill::bench {
namespace {

using calibration::Calibration;

// Sizes that the steps of one number of micro-batches have, about.
constexpr double sizes = 20;
constexpr std::uint32_t most_positions = 4096, rows_drawn = 32;

// What ranks exchange before every step, the median of many; collective.
double measure_agreeing(const Comm& world) {
  constexpr std::size_t samples = 101;
  std::vector<double> seconds;
  for (std::size_t sample = 0; sample < samples; ++sample) {
    world.barrier();
    const double start = now_seconds();
    (void)gather(world, schedule::Facts());
    seconds.push_back(now_seconds() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  return gather(world, seconds[samples / 2]).front();
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// Steps with one micro-batch and with two, and draws.
void measure_steps(const CalibrateOptions& o, const model::ModelConfig& config, const Comm& world, Calibration& c) {
  const std::vector<int> memory = memory_of_bench(world, nodes_of_bench(world, 0));
  StepProbe probe({o.model, config, o.isa, o.threads, memory}, world);
  log::info("calibrate: steps with one micro-batch");
  StageGrid grid{1, std::min(most_positions, config.max_positions), o.seconds / sizes};
  c.stages.push_back(measure_stages(probe, config, grid));
  log::info("calibrate: draws, and steps with two micro-batches");
  c.drawing_seconds_a_row = probe.measure_drawings(rows_drawn);
  grid.micro_batches = 2;
  c.stages.push_back(measure_halves(probe, config, grid, c.stages.front()));
}

}  // namespace

Calibration calibrate(const CalibrateOptions& o, const Comm& world) {
  Calibration c;
  const auto ranks = static_cast<std::uint32_t>(world.size());
  const auto most_bytes = static_cast<std::uint64_t>(o.gbytes * 1e9);
  const model::ModelConfig published = model::read_config(o.model);
  // As the random weights are held, whatever the model's files would have.
  model::ModelConfig config = model::stored_config(o.model, published, "dummy");
  config.arithmetic = o.arithmetic;
  config = cut_to_size(config, ranks, most_bytes);
  log::info("calibrate: peaks, memory reads and links");
  MachineRates rates = measure_machine(world, o.isa, o.threads);
  c.machine = std::move(rates.machine), c.messages = std::move(rates.messages);
  c.mpi = MpiSession::library_version();
  c.ranks = ranks;
  c.arithmetic = o.arithmetic;
  c.model = o.model;
  c.shape = calibration::shape_of(published);
  c.measured_layers = config.layers;
  c.measured_experts = c.shape.experts > 0 ? config.moe.experts : 0;
  measure_steps(o, config, world, c);
  log::info("calibrate: weights, tokens and outputs");
  c.agreeing_seconds = measure_agreeing(world);
  ThreadTeam team(o.threads);
  c.start_seconds = measure_starting(o.model, world);
  c.load_bytes_per_second = measure_loading(o.model, o.arithmetic, world, team, most_bytes);
  c.tokenize_bytes_per_second = measure_tokenizing(o.model, world);
  if (!o.output.empty()) c.shard_bytes_per_second = measure_writing(folder_of(o.output), world);
  return c;
}

namespace {

std::optional<CalibrateOptions> parse(const std::vector<std::string>& args, const Comm& world) {
  namespace po = boost::program_options;
  CalibrateOptions o;
  std::string arithmetic;
  po::options_description known = describe_common_options("auto");
  auto option = known.add_options();
  option("model", po::value(&o.model)->default_value("configs/bench/deepseek-0.5b"),
         "folder with a config.json, or a name of configs/models: its shapes are measured, with random weights");
  option("output,o", po::value(&o.output)->value_name("FILE"),
         "write the calibration to this file as JSON, for cost.calibration of run.yaml and for moemill plan "
         "--calibration; "
         "an earlier file is compared with and replaced");
  option("arithmetic", po::value(&arithmetic)->default_value("bf16"), "bf16 or int8, as model.arithmetic");
  option(
      "seconds", po::value(&o.seconds)->default_value(o.seconds, "10"),
      "about how long steps run, for each of 1 and 2 micro-batches; the whole takes about a minute, on a machine with "
      "nothing else to do");
  option("gbytes", po::value(&o.gbytes)->default_value(o.gbytes, "1.5"),
         "weights on each rank, at most: of a larger model fewer layers are measured");
  const po::variables_map given = parse_words(args, known);
  if (given.count("help")) {
    if (world.rank() == 0)
      print_usage("[mpirun -n R] moemill bench calibrate [options]", known,
                  {"moemill bench calibrate", "mpirun -n 2 moemill bench calibrate -o machine.json",
                   "mpirun -n 8 moemill bench calibrate --model configs/models/qwen3-30b-a3b -o machine.json"});
    return std::nullopt;
  }
  check_path("--output", o.output);
  check_path("--model", o.model);
  take_common_options(o, given, world);
  if (!(o.seconds >= 0 && o.seconds <= 3600)) user_error("bench: --seconds {}: write 0 to 3600", o.seconds);
  if (!(o.gbytes > 0 && o.gbytes <= 1e6)) user_error("bench: --gbytes {}: write up to 1000000", o.gbytes);
  if (arithmetic != "bf16" && arithmetic != "int8") user_error("bench: --arithmetic is bf16 or int8");
  if (arithmetic == "int8") o.arithmetic = Arithmetic::Int8;
  o.model = shipped_model(o.model);
  return o;
}

// Only a calibration is replaced: a file of anything else may be dear to the user. A folder that is missing is said
// before a minute of measuring.
std::optional<Calibration> read_earlier(const std::string& path) {
  if (path.empty()) return std::nullopt;
  std::error_code unreadable;
  if (!std::filesystem::is_directory(folder_of(path), unreadable))
    user_error("--output {}: there is no folder {}; make it or write another name", path, folder_of(path));
  if (!files::exists(path)) return std::nullopt;
  try {
    return calibration::read_calibration(path);
  } catch (const UserError& e) {
    user_error("--output {}: the file there is not replaced: {}. Remove it or write another name", path, e.what());
  }
}

}  // namespace

int run_calibrate(const std::vector<std::string>& args, const Comm& world) {
  const auto options = parse(args, world);
  if (!options) return static_cast<int>(ExitCode::Done);
  std::optional<Calibration> earlier;
  run_on_rank_zero(world, [&] { earlier = read_earlier(options->output); });
  const Calibration c = calibrate(*options, world);
  run_on_rank_zero(world, [&] {
    if (options->form == Form::Json)
      fmt::print("{}", to_json(c));
    else
      print_calibration(c, earlier);
    if (!options->output.empty()) files::write_atomically(options->output, to_json(c));
  });
  return static_cast<int>(ExitCode::Done);
}

}  // namespace moemill::bench
