#include "bench/end_to_end_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <vector>

#include "base/build_info.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/numbers/bf16.hpp"
#include "base/numbers/rounding.hpp"
#include "base/text/path_text.hpp"
#include "bench/machine_rates.hpp"
#include "bench/report.hpp"
#include "bench/steps/bench_nodes.hpp"
#include "bench/steps/drawing.hpp"
#include "bench/steps/made_step.hpp"
#include "bench/steps/over_ranks.hpp"
#include "generate/backend/backends.hpp"
#include "generate/load_on_nodes.hpp"
#include "layers/micro_batches.hpp"
#include "plan/ranks.hpp"
#include "schedule/micro_batches.hpp"
#include "system/files/shipped_files.hpp"
#include "weights/stored_model.hpp"

namespace moemill::bench {
namespace {

using schedule::RowKind;
using schedule::Step;

Peaks peaks_of_all(const Comm& world, const Peaks& mine) {
  Peaks sum;
  for (const Peaks& p : gather(world, mine)) sum.fma += p.fma, sum.bf16_dot += p.bf16_dot, sum.int8_dot += p.int8_dot;
  return sum;
}

double bandwidth(const EndToEndOptions& o) {
  cpu::Stream stream(o.isa, o.threads);
  return read_bandwidth(stream, Clock::Wall);
}

// For `most` sequences on a rank; the same on all ranks, whose rows share memory.
layers::ForwardSettings settings_of(const EndToEndOptions& o, const model::ModelConfig& config, const Comm& world,
                                    std::uint32_t most) {
  const bool decode = o.workload == Workload::Decode;
  layers::ForwardSettings settings;
  settings.max_positions = o.tokens + 1;
  settings.max_rows = std::max<std::uint32_t>(1, decode ? most : most * o.tokens);
  const std::uint32_t pages = std::max<std::uint32_t>(1, most * pages_of(decode ? o.tokens + 1 : o.tokens));
  settings.pages = groups_of(config)[0] ? pages : 0;
  settings.window_pages = groups_of(config)[1] ? pages : 0;
  settings.micro_batches = schedule::most_micro_batches(o.micro_batches, static_cast<std::uint32_t>(world.size()));
  return settings;
}

// What the measured steps took and used.
struct Measured {
  std::vector<double> seconds;  // of the slowest rank, by step
  std::uint32_t with_two = 0;   // steps of two micro-batches
  double experts_picked = 0;    // pairs of a layer and an expert, the mean over the steps
  layers::ForwardTotals before, after;
};

Measured run_steps(const EndToEndOptions& o, const model::ModelConfig& config, const Comm& world,
                   mill::Backend& backend, Share mine) {
  Measured out;
  Drawer drawer(sampling_of(o.sampling), config.vocabulary);
  const bool decode = o.workload == Workload::Decode;
  const schedule::Phase phase = decode ? schedule::Phase::Decode : schedule::Phase::Prefill;
  const std::uint32_t rows = divide_up(o.sequences, static_cast<std::uint32_t>(world.size())) * (decode ? 1 : o.tokens);
  schedule::MicroBatchRule rule(o.micro_batches, static_cast<std::uint32_t>(world.size()));
  std::vector<std::uint64_t> picks = sum_counts(world, backend.expert_counts());
  for (std::uint32_t i = 0; out.seconds.size() < o.steps; i++) {
    Step step = decode ? make_step(mine, RowKind::Generated, o.tokens, 1, 2 + i, config)
                       : make_step(mine, RowKind::Prompt, 0, o.tokens, 2 + i, config);
    step.micro_batches = i == 0 ? 1 : rule.choose(phase, rows);
    const bool is_measured = i > 0 && rule.is_settled();
    if (is_measured && out.seconds.empty()) out.before = backend.totals();
    world.barrier();
    const double start = now_seconds();
    backend.run(step);
    drawer.draw(backend, step.logit_rows.size());
    const double slowest = over_ranks(world, now_seconds() - start).slowest;
    rule.took({slowest, rows});
    std::vector<std::uint64_t> later = sum_counts(world, backend.expert_counts());
    if (is_measured) {
      out.seconds.push_back(slowest);
      out.with_two += step.micro_batches == 2;
      out.experts_picked += static_cast<double>(experts_picked(picks, later)) / o.steps;
    }
    picks = std::move(later);
  }
  out.after = backend.totals();
  return out;
}

// Of the time of all steps; what no pass claims is the rest's.
PassSeconds shares_of(const Measured& steps, double all_seconds) {
  PassSeconds shares{};
  double& rest = shares[static_cast<std::size_t>(Pass::Rest)];
  rest = 1;
  for (std::size_t i = 0; i < pass_count; ++i) {
    if (i == static_cast<std::size_t>(Pass::Rest)) continue;
    shares[i] = (steps.after.passes[i] - steps.before.passes[i]) / all_seconds;
    rest -= shares[i];
  }
  return shares;
}

// The step of the medians beside its prediction.
Comparison compare(const EndToEndOptions& o, const model::ModelConfig& config, std::uint32_t nodes,
                   const EndToEndResult& r) {
  const calibration::Calibration calibration = calibration::read_calibration(o.calibration);
  Comparison out;
  out.predicted = predict_step(calibration, config, {r.ranks, r.micro_batches(o)}, {o.workload, o.sequences, o.tokens},
                               sampling_of(o.sampling));
  out.measured_seconds = r.seconds_per_step;
  for (std::size_t i = 0; i < pass_count; ++i) out.measured[i] = r.passes[i] * r.seconds_per_step;
  const calibration::Circumstances now{cpu_model(),       std::string(cpu::name(o.isa)),         o.arithmetic,
                                       r.ranks,           static_cast<std::uint32_t>(o.threads), nodes,
                                       r.micro_batches(o)};
  out.warnings = calibration::warnings(calibration, config, now);
  return out;
}

}  // namespace

EndToEndResult measure_end_to_end(const EndToEndOptions& o, const Comm& world) {
  // As the random weights are held: as the arithmetic says, whatever the model's files would have.
  model::ModelConfig config = model::stored_config(o.model, model::read_config(o.model), "dummy");
  config.arithmetic = o.arithmetic;
  const model::Placement placement = model::contiguous_slices(config, static_cast<std::uint32_t>(world.size()));
  const auto backend = mill::make_cpu_backend(config, o.isa, o.threads);
  const DomainRank rank{world.rank()};
  const Share mine = share(o.sequences, world);
  const std::vector<int> nodes = nodes_of_bench(world, o.nodes);
  const Comm mates = world.split(nodes[static_cast<std::size_t>(world.rank())], world.rank());
  const mill::Ranks ranks{.world = world,
                          .domain = world,
                          .mates = mates,
                          .node_of_domain_rank = nodes,
                          .hosts = {},
                          .node_of_rank = nodes,
                          .nodes = 1 + *std::max_element(nodes.begin(), nodes.end()),
                          .machine = mates,
                          .cores = {}};
  mill::load_on_nodes(*backend, {o.model, "dummy", placement, rank, model::NodeExperts(placement, rank), {}}, ranks, {},
                      [] {});
  const auto share_memory = backend->memory().node_weights > 0 ? mill::MatesShare::Yes : mill::MatesShare::No;
  const layers::ForwardSettings settings =
      settings_of(o, config, world, divide_up(o.sequences, static_cast<std::uint32_t>(world.size())));
  layers::DomainSite site = layers::checked(layers::join_domain(world, mill::memory_of_domain(ranks, share_memory),
                                                                nodes, layers::exchange_shape(config, settings)));
  backend->prepare(std::move(site), settings);
  if (o.workload == Workload::Decode) backend->fill_cache(static_cast<std::uint64_t>(world.rank()));

  world.barrier();
  EndToEndResult r;
  r.ranks = static_cast<std::uint32_t>(world.size());
  r.peaks = peaks_of_all(world, measure_peaks(o.isa, o.threads));
  r.peak_bandwidth = over_ranks(world, bandwidth(o)).sum;

  Measured steps = run_steps(o, config, world, *backend, mine);
  const double all = std::accumulate(steps.seconds.begin(), steps.seconds.end(), 0.0);
  const auto middle = steps.seconds.begin() + static_cast<std::ptrdiff_t>(steps.seconds.size() / 2);
  std::nth_element(steps.seconds.begin(), middle, steps.seconds.end());
  r.seconds_per_step = *middle;
  r.steps_with_two = steps.with_two;
  const StepShape shape{o.workload, o.sequences, o.tokens};
  r.tokens_per_second = o.sequences * (o.workload == Workload::Decode ? 1.0 : o.tokens) / r.seconds_per_step;
  r.needed = needed_operations(shape, config);
  r.needed_gflops = r.needed.all() / r.seconds_per_step * 1e-9;
  r.experts = backend->expert_counts().size();
  r.experts_picked = steps.experts_picked;
  r.bytes = needed_bytes(shape, config, std::min(r.ranks, o.sequences), r.experts_picked);
  r.bytes_per_second = r.bytes.all() / r.seconds_per_step;

  std::uint64_t work = 0, busiest = 0, busiest_owner = 0;
  for (const layers::ExchangeTotals& t : gather(world, steps.after.exchange))
    work += t.work, busiest += t.busiest_work, busiest_owner += t.busiest_owner_work;
  if (work > 0) {
    r.work_max_over_mean = static_cast<double>(busiest) / static_cast<double>(work);
    r.work_unsplit = static_cast<double>(busiest_owner) / static_cast<double>(work);
  }
  r.passes = shares_of(steps, all);
  if (!o.calibration.empty()) r.comparison = compare(o, config, static_cast<std::uint32_t>(ranks.nodes), r);
  return r;
}

double EndToEndResult::share_of_peaks() const {
  const double int8_peak = peaks.int8_dot > 0 ? peaks.int8_dot : peaks.fma;
  return (needed.int8 / int8_peak + needed.bf16 / peaks.bf16() + needed.fp32 / peaks.fma) / seconds_per_step;
}

namespace {

struct PassName {
  Pass pass;
  const char* key;  // in JSON
  const char* words;
};
constexpr PassName all_passes[] = {
    {Pass::Norms, "norms", "norms and sums of rows"},
    {Pass::Projections, "projections", "attention's projections"},
    {Pass::Attention, "attention", "attention over the cache"},
    {Pass::Router, "router", "router"},
    {Pass::Packing, "packing", "packing and unpacking rows"},
    {Pass::Waiting, "waiting", "waiting for rows"},
    {Pass::Products, "products", "products of experts and dense MLPs"},
    {Pass::Activations, "activations", "activations and rounding"},
    {Pass::Head, "head", "head"},
    {Pass::Drawing, "drawing", "drawing"},
    {Pass::Rest, "rest", "the rest"},
};
static_assert(std::size(all_passes) == pass_count);

const char* name_of(Workload workload) { return workload == Workload::Decode ? "decode" : "prefill"; }

void print_json(const EndToEndOptions& o, const EndToEndResult& r) {
  nlohmann::ordered_json out{
      {"benchmark", name_of(o.workload)},
      {"cpu", cpu_model()},
      {"version", build_info::version()},
      {"commit", build_info::git_commit()},
      {"model", o.model},
      {"ranks", r.ranks},
      {"threads", o.threads},
      {"isa", cpu::name(o.isa)},
      {"sequences", o.sequences},
      {"tokens", o.tokens},
      {"steps", o.steps},
      {"micro_batches", r.micro_batches(o)},
      {"steps_with_two", r.steps_with_two},
      {"arithmetic", word_of(o.arithmetic)},
      {"int8_unit", mill::int8_unit_name(o.isa)},
      {"sampling", o.sampling},
      {"seconds_per_step", r.seconds_per_step},
      {"tokens_per_second", r.tokens_per_second},
      {"needed_gflops", r.needed_gflops},
      {"share_of_fma_peak", r.needed_gflops * 1e9 / r.peaks.fma},
      {"share_of_bf16_dot_peak", r.peaks.bf16_dot > 0 ? nlohmann::ordered_json(r.needed_gflops * 1e9 / r.peaks.bf16_dot)
                                                      : nlohmann::ordered_json(nullptr)},
      {"needed_int8_gops", r.needed.int8 / r.seconds_per_step * 1e-9},
      {"needed_fp32_gflops", r.needed.fp32 / r.seconds_per_step * 1e-9},
      {"share_of_peaks", r.share_of_peaks()},
      {"experts_picked", r.experts_picked},
      {"experts", r.experts},
      {"work_max_over_mean", r.work_max_over_mean},
      {"work_max_over_mean_unsplit", r.work_unsplit},
      {"needed_bytes",
       {{"all", r.bytes.all()},
        {"experts", r.bytes.experts},
        {"replicated", r.bytes.replicated},
        {"cache", r.bytes.cache}}},
      {"bytes_per_second", r.bytes_per_second},
      {"read_bytes_per_second", r.peak_bandwidth},
      {"share_of_reads", r.bytes_per_second / r.peak_bandwidth}};
  for (const PassName& pass : all_passes) out["shares"][pass.key] = r.passes[static_cast<std::size_t>(pass.pass)];
  put(out, r.peaks);
  if (r.comparison) put(out, *r.comparison);
  print(out);
}

void print_text(const EndToEndOptions& o, const EndToEndResult& r) {
  const bool int8 = o.arithmetic == Arithmetic::Int8;
  fmt::print("{}: {}, {} ranks x {} threads, {}{}\n", name_of(o.workload), o.model, r.ranks, o.threads,
             cpu::name(o.isa), int8 ? fmt::format(", int8 by {}", mill::int8_unit_name(o.isa)) : "");
  if (o.workload == Workload::Decode)
    fmt::print("  {} sequences, each with {} positions before the new token\n", o.sequences, o.tokens);
  else
    fmt::print("  {} prompts of {} tokens per step\n", o.sequences, o.tokens);
  fmt::print("  {:9.2f} ms per step (median of {}, {} of them with two micro-batches)\n", r.seconds_per_step * 1e3,
             o.steps, r.steps_with_two);
  fmt::print("  {:9.0f} tokens/s\n", r.tokens_per_second);
  fmt::print("  {:9.1f} GFLOP/s that the model needs, {:.1f} % of the FMA peak", r.needed_gflops,
             1e11 * r.needed_gflops / r.peaks.fma);
  if (r.peaks.bf16_dot > 0) fmt::print(", {:.1f} % of the bf16 dot peak", 1e11 * r.needed_gflops / r.peaks.bf16_dot);
  fmt::print("\n            (measured before: {})\n", describe(r.peaks));
  fmt::print(
      "  {:9.1f} % of the peaks of their units: {:.0f} % of the operations are of fp32 values (FMA), {:.0f} % of rows "
      "in\n"
      "            bf16 (the faster of FMA and bf16 dot), {:.0f} % of int8{}\n",
      100 * r.share_of_peaks(), 100 * r.needed.fp32 / r.needed.all(), 100 * r.needed.bf16 / r.needed.all(),
      100 * r.needed.int8 / r.needed.all(), r.peaks.int8_dot > 0 || !int8 ? "" : " (FMA)");
  fmt::print("  {:9.1f} GB/s that a step has to read, {:.1f} % of the reads measured before ({:.1f} GB/s)\n",
             r.bytes_per_second / 1e9, 100 * r.bytes_per_second / r.peak_bandwidth, r.peak_bandwidth / 1e9);
  fmt::print(
      "            {:.3f} GB per step: {:.3f} of picked experts ({:.0f} of {} per step, each once), {:.3f} of all "
      "other\n"
      "            weights (once per rank), {:.3f} of cached values\n",
      r.bytes.all() / 1e9, r.bytes.experts / 1e9, r.experts_picked, r.experts, r.bytes.replicated / 1e9,
      r.bytes.cache / 1e9);
  if (r.ranks > 1)
    fmt::print(
        "  {:9.3f} experts' work of a node's busiest rank over the mean ({:.3f} if each computed its own experts)\n",
        r.work_max_over_mean, r.work_unsplit);
  fmt::print("  rank 0's time, %:\n");
  for (const PassName& pass : all_passes)
    fmt::print("  {:9.1f} {}\n", 100 * r.passes[static_cast<std::size_t>(pass.pass)], pass.words);
  if (r.comparison) print_text(*r.comparison);
}

std::optional<EndToEndOptions> parse(Workload workload, const std::vector<std::string>& args, const Comm& world) {
  namespace po = boost::program_options;
  const bool decode = workload == Workload::Decode;
  EndToEndOptions o;
  o.workload = workload;
  std::string arithmetic, micro_batches;
  po::options_description known = describe_common_options("auto");
  auto add = known.add_options();
  add("model", po::value(&o.model)->default_value("configs/bench/deepseek-0.5b"),
      "folder with a config.json, or a name of configs/models; weights are random");
  add("sequences", po::value(&o.sequences)->default_value(decode ? 256 : 8),
      decode ? "sequences per step, of all ranks" : "prompts per step, of all ranks");
  add("tokens", po::value(&o.tokens)->default_value(decode ? 128 : 512),
      decode ? "positions of a sequence before its new token" : "length of each prompt");
  add("steps", po::value(&o.steps)->default_value(8), "measured steps");
  add("micro-batches", po::value(&micro_batches)->default_value("1"),
      "1 or 2, or auto: what costs less, tried before the measured steps");
  add("nodes", po::value(&o.nodes)->default_value(0), "as if the ranks were on so many nodes; 0: as they are");
  add("arithmetic", po::value(&arithmetic)->default_value("bf16"), "bf16 or int8, as model.arithmetic");
  add("sampling", po::value(&o.sampling)->default_value("temperature"), sampling_names);
  add("calibration", po::value(&o.calibration)->value_name("FILE"),
      "a file of bench calibrate: prints what it predicts beside what was measured");
  const po::variables_map given = parse_words(args, known);
  if (given.count("help")) {
    const char* name = name_of(workload);
    if (world.rank() == 0)
      print_usage(
          fmt::format("[mpirun -n R] moemill bench {} [options]", name), known,
          {fmt::format("moemill bench {}", name), fmt::format("mpirun -n 2 --bind-to core moemill bench {}", name),
           fmt::format("mpirun -n 8 moemill bench {} --model configs/models/qwen3-30b-a3b --sequences 64", name)});
    return std::nullopt;
  }
  check_path("--model", o.model);
  check_path("--calibration", o.calibration);
  take_common_options(o, given, world);
  constexpr std::uint32_t most = 1u << 24;  // -1 is read as 4294967295
  for (std::uint32_t value : {o.sequences, o.tokens, o.steps}) {
    if (value < 1 || value > most) user_error("bench: --sequences, --tokens and --steps are between 1 and {}", most);
  }
  if (micro_batches != "1" && micro_batches != "2" && micro_batches != "auto")
    user_error("bench: --micro-batches is 1, 2 or auto");
  o.micro_batches.reset();
  if (micro_batches != "auto") o.micro_batches = micro_batches == "1" ? 1 : 2;
  if (arithmetic != "bf16" && arithmetic != "int8") user_error("bench: --arithmetic is bf16 or int8");
  if (arithmetic == "int8") o.arithmetic = Arithmetic::Int8;
  sampling_of(o.sampling);  // refuses unknown names before anything is loaded
  if (!o.calibration.empty()) (void)calibration::read_calibration(o.calibration);  // refused before anything is loaded
  o.model = shipped_model(o.model);
  return o;
}

int run(Workload workload, const std::vector<std::string>& args, const Comm& world) {
  const auto options = parse(workload, args, world);
  if (!options) return static_cast<int>(ExitCode::Done);
  const EndToEndResult result = measure_end_to_end(*options, world);
  if (world.rank() == 0) options->form == Form::Json ? print_json(*options, result) : print_text(*options, result);
  return static_cast<int>(ExitCode::Done);
}

}  // namespace

int run_decode_bench(const std::vector<std::string>& args, const Comm& world) {
  return run(Workload::Decode, args, world);
}
int run_prefill_bench(const std::vector<std::string>& args, const Comm& world) {
  return run(Workload::Prefill, args, world);
}

}  // namespace moemill::bench
