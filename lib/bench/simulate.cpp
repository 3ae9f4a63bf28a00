#include "bench/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/build_info.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "base/text/format.hpp"
#include "base/text/path_text.hpp"
#include "bench/counting/made_picks.hpp"
#include "bench/report.hpp"
#include "dataset/run_dir/picks_file.hpp"
#include "model/config.hpp"
#include "plan/forecast/answer_lengths.hpp"
#include "system/files/shipped_files.hpp"

namespace moemill::bench {
namespace {

constexpr std::uint32_t most_ranks = 65'536, most_nodes = 4096, most_rows = 65'536;
constexpr std::uint64_t most_prompts = 10'000'000;
constexpr std::uint32_t longest_text = 1 << 20;  // tokens

mill::WorkLengths work_of(const SimulateOptions& o) {
  const mill::AnswerLengths input = mill::AnswerLengths::of_word(o.input_tokens, longest_text, "--input-tokens");
  const mill::AnswerLengths output = mill::AnswerLengths::of_word(o.output_tokens, longest_text, "--output-tokens");
  mill::WorkLengths work;
  // Prompts and answers are drawn apart: a long prompt has no longer answer.
  for (std::uint64_t p = 0; p < o.prompts; ++p) {
    const std::uint32_t answer = std::max(1u, output.length(o.prompts - 1 - p, longest_text));
    work.add(std::max(1u, input.length(p, longest_text)), answer, 1, answer);
  }
  return work;
}

namespace po = boost::program_options;

po::options_description describe(SimulateOptions& o) {
  po::options_description known("options");
  auto option = known.add_options();
  option("help,h", "prints this");
  option("json", "print JSON instead of text");
  option("model", po::value(&o.model)->default_value("configs/models/deepseek-v3"),
         "folder with a config.json, or a name of configs/models");
  option("ranks", po::value(&o.layout.ranks)->default_value(o.layout.ranks), "of one expert domain");
  option("ranks-per-node", po::value(&o.layout.ranks_per_node)->default_value(o.layout.ranks_per_node),
         "ranks that share memory");
  option("rows", po::value(&o.layout.rows)->default_value(o.layout.rows), "of each rank in the step");
  option("picks", po::value(&o.picks)->value_name("FILE"),
         "picks.h5 of a run of this model with runtime.record_picks: ranks take its rows one after the other, again "
         "from the first if there are too few");
  option("power-law", po::value(&o.power_law)->default_value(o.power_law, "1.01"),
         "the n-th most popular expert of a layer is picked in proportion to n^-X; 0: all alike");
  option("seed", po::value(&o.seed)->default_value(o.seed), "of picks");
  option("prompts", po::value(&o.prompts)->default_value(o.prompts),
         "also count the steps of a run of so many prompts; 0: no run");
  option("input-tokens", po::value(&o.input_tokens)->value_name("MEAN|FILE")->default_value("803"),
         "lengths of prompts: a mean (log-normal), or a file with one a line");
  option("output-tokens", po::value(&o.output_tokens)->value_name("MEAN|FILE")->default_value("3653"),
         "lengths of answers");
  option("sequences", po::value(&o.run.sequences)->default_value(o.run.sequences),
         "of a rank at a time, as parallel.max_num_seqs");
  option("batched-tokens", po::value(&o.run.batched_tokens)->default_value(o.run.batched_tokens),
         "rows of a rank in a step, as parallel.max_num_batched_tokens");
  return known;
}

// UserError for numbers that cannot be counted, or that mean nothing.
void check_limits(const SimulateOptions& o, const po::variables_map& given) {
  const auto check = [](const char* name, std::uint64_t value, std::uint64_t least, std::uint64_t most) {
    if (value < least || value > most) user_error("bench: {} {}: write {} to {}", name, value, least, most);
  };
  check("--ranks", o.layout.ranks, 1, most_ranks);
  check("--ranks-per-node", o.layout.ranks_per_node, 1, most_ranks);
  check("--rows", o.layout.rows, 1, most_rows);
  check("--prompts", o.prompts, 0, most_prompts);
  check("--sequences", o.run.sequences, 1, 65'536);
  check("--batched-tokens", o.run.batched_tokens, o.run.sequences, 1 << 20);
  if (!(o.power_law >= 0 && o.power_law <= MadePicks::most_exponent))
    user_error("bench: --power-law {}: write 0 to {}", o.power_law, MadePicks::most_exponent);
  if (!o.picks.empty() && !given["power-law"].defaulted())
    user_error("bench: --power-law has no effect on the picks of --picks; leave one out");
  if (const std::uint32_t nodes = divide_up(o.layout.ranks, o.layout.ranks_per_node); nodes > most_nodes)
    user_error("bench: --ranks {} with --ranks-per-node {} are {} nodes; up to {} are counted", o.layout.ranks,
               o.layout.ranks_per_node, nodes, most_nodes);
}

std::optional<SimulateOptions> parse(const std::vector<std::string>& args) {
  SimulateOptions o;
  const po::options_description known = describe(o);
  const po::variables_map given = parse_words(args, known);
  if (given.count("help")) {
    print_usage("moemill bench simulate [options]", known,
                {"moemill bench simulate --ranks 2048 --ranks-per-node 128",
                 "moemill bench simulate --model qwen3-30b-a3b --ranks 64 --ranks-per-node 32 --rows 256",
                 "moemill bench simulate --ranks 8 --prompts 16000"});
    return std::nullopt;
  }
  check_path("--model", o.model);
  if (given.count("picks")) check_path("--picks", o.picks);
  if (given.count("json")) o.form = Form::Json;
  check_limits(o, given);
  o.layout.ranks_per_node = std::min(o.layout.ranks_per_node, o.layout.ranks);
  o.run.ranks = o.layout.ranks;
  o.model = shipped_model(o.model);
  return o;
}

double over(double value, double mean) { return mean > 0 ? value / mean : 1; }
double over(std::uint64_t value, std::uint64_t mean) {
  return over(static_cast<double>(value), static_cast<double>(mean));
}

void print_table(const SimulateOptions& o, const Simulated& result) {
  const CountedExchange& x = result.exchange;
  const std::string picks =
      o.picks.empty() ? fmt::format("picks by a power law of {}", o.power_law) : "picks of " + o.picks;
  fmt::print("{}: {} ranks on {} of {}, {} rows a rank, {}\n\n", o.model, o.layout.ranks,
             counted(x.nodes, "node", "nodes"), o.layout.ranks_per_node, o.layout.rows, picks);
  fmt::print("a step's {}, both ways, one micro-batch\n",
             counted(x.layers, "layer with experts", "layers with experts"));
  fmt::print("  {:>10.3f} GB between nodes, {:.3f} of the least: each row to a node once, its outputs home\n",
             static_cast<double>(x.inter_node_bytes) * 1e-9, over(x.inter_node_bytes, x.inter_node_minimum));
  fmt::print("  {:>10.3f} GB within nodes, where rows are read where they lie\n",
             static_cast<double>(x.intra_node_bytes) * 1e-9);
  fmt::print("  {:>10} messages; a rank sends {} to other nodes in a layer and way\n", x.messages, x.nodes - 1);
  fmt::print("  {:>10.2f} nodes of {} compute a row's picks; {:.2f} rows go out and {:.2f} come home for each\n",
             over(x.row_nodes, x.rows), x.nodes, over(x.rows_sent, x.rows), over(x.outputs_sent, x.rows));
  const CountedWork& w = x.work;
  fmt::print("cost of the experts' work, the busiest over the mean, all layers\n");
  fmt::print("  {:>10.3f} ranks of a node, which share its work\n", over(w.within_node, w.mean));
  fmt::print("  {:>10.3f} nodes\n", over(w.busiest_node, w.mean));
  fmt::print("  {:>10.3f} all ranks; {:.3f} if each computed the experts that it holds\n", over(w.busiest, w.mean),
             over(w.busiest_owner, w.mean));
  if (result.run) {
    const CountedRun& r = *result.run;
    fmt::print("a run of {} prompts: {} prompt tokens, {} generated\n", o.prompts, r.prompt_rows, r.generated_tokens);
    fmt::print("  {:>10} steps; the longest answer has {} tokens\n", r.steps, r.least_steps);
    fmt::print("  {:>10.3f} rows of a step, the mean rank's over the busiest one's\n", r.mean_over_max());
    fmt::print("  {:>10} steps at the end in which some rank has no rows, {:.1f} % of all\n", r.tail_steps,
               100 * over(r.tail_steps, r.steps));
  }
  fmt::print("counted in {:.1f} s\n", result.seconds);
}

void print_json(const SimulateOptions& o, const Simulated& result) {
  const CountedExchange& x = result.exchange;
  const CountedWork& w = x.work;
  nlohmann::ordered_json out{
      {"benchmark", "simulate"},
      {"commit", build_info::git_commit()},
      {"model", o.model},
      {"ranks", o.layout.ranks},
      {"ranks_per_node", o.layout.ranks_per_node},
      {"nodes", x.nodes},
      {"rows_per_rank", o.layout.rows},
      {"picks", o.picks.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(o.picks)},
      {"power_law", o.picks.empty() ? nlohmann::ordered_json(o.power_law) : nlohmann::ordered_json()},
      {"seed", o.seed},
      {"layers", x.layers},
      {"inter_node_bytes", x.inter_node_bytes},
      {"inter_node_bytes_minimum", x.inter_node_minimum},
      {"intra_node_bytes", x.intra_node_bytes},
      {"messages", x.messages},
      {"rows_sent", x.rows_sent},
      {"outputs_sent", x.outputs_sent},
      {"nodes_per_row", over(x.row_nodes, x.rows)},
      {"work_max_over_mean",
       {{"ranks_of_a_node", over(w.within_node, w.mean)},
        {"nodes", over(w.busiest_node, w.mean)},
        {"ranks", over(w.busiest, w.mean)},
        {"ranks_with_their_own_experts", over(w.busiest_owner, w.mean)}}},
      {"run", nullptr},
      {"seconds", result.seconds}};
  if (result.run) {
    const CountedRun& r = *result.run;
    out["run"] = {
        {"prompts", o.prompts},      {"prompt_tokens", r.prompt_rows},  {"generated_tokens", r.generated_tokens},
        {"steps", r.steps},          {"longest_answer", r.least_steps}, {"rows_mean_over_max", r.mean_over_max()},
        {"tail_steps", r.tail_steps}};
  }
  print(out);
}

PicksOfRank made_up(const model::ModelConfig& config, const SimulateOptions& o) {
  return [&config, &o, made = std::optional<MadePicks>(), of = LayerId{-1}](LayerId layer, std::uint32_t rank,
                                                                            std::span<GlobalExpert> picks) mutable {
    if (layer != of) made.emplace(config.moe, o.power_law, o.seed, of = layer);
    made->draw(std::uint64_t{rank} * o.layout.rows, picks);
  };
}

// UserError if the file is of another model.
PicksOfRank recorded(const model::ModelConfig& config, const SimulateOptions& o) {
  dataset::RecordedPicks file = dataset::read_picks(o.picks);
  std::vector<std::int32_t> layers;
  for (std::uint32_t l = 0; l < config.layers; ++l)
    if (config.layer_is_moe[l]) layers.push_back(static_cast<std::int32_t>(l));
  if (file.experts != config.moe.experts || file.picks != config.moe.picks || file.layers != layers)
    user_error("bench: --picks {}: {} picks of {} experts in {} layers, but {} has {} of {} in {}; name its own model",
               o.picks, file.picks, file.experts, file.layers.size(), o.model, config.moe.picks, config.moe.experts,
               layers.size());
  return [&o, file = std::move(file)](LayerId layer, std::uint32_t rank, std::span<GlobalExpert> picks) {
    const auto number = std::lower_bound(file.layers.begin(), file.layers.end(), layer.value) - file.layers.begin();
    const std::vector<std::uint16_t>& from = file.of_layer[static_cast<std::size_t>(number)];
    std::size_t at = std::uint64_t{rank} * o.layout.rows % file.rows() * file.picks;
    for (GlobalExpert& pick : picks) {
      pick = {from[at]};
      if (++at == from.size()) at = 0;
    }
  };
}

}  // namespace

Simulated simulate(const SimulateOptions& o) {
  const double start = now_seconds();
  const model::ModelConfig config = model::read_config(o.model);
  const auto first = std::find(config.layer_is_moe.begin(), config.layer_is_moe.end(), true);
  if (first == config.layer_is_moe.end()) user_error("bench: {}: the model has no routed experts to count", o.model);
  Simulated result;
  result.exchange = count_exchange(config, o.layout, o.picks.empty() ? made_up(config, o) : recorded(config, o));
  if (o.prompts > 0) result.run = count_run(work_of(o), o.run);
  result.seconds = now_seconds() - start;
  return result;
}

int run_simulate(const std::vector<std::string>& args) {
  const auto options = parse(args);
  if (!options) return static_cast<int>(ExitCode::Done);
  const Simulated result = simulate(*options);
  options->form == Form::Json ? print_json(*options, result) : print_table(*options, result);
  return static_cast<int>(ExitCode::Done);
}

}  // namespace moemill::bench
