#include "bench/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "base/text/path_text.hpp"
#include "bench/counting/made_picks.hpp"
#include "bench/print_simulated.hpp"
#include "bench/simulated_work.hpp"
#include "model/config.hpp"
#include "system/files/shipped_files.hpp"

namespace moemill::bench {
namespace {

constexpr std::uint32_t most_ranks = 65'536, most_nodes = 4096, most_rows = 65'536;
constexpr std::uint64_t most_prompts = 10'000'000;

// Nothing if no run is to be counted.
std::optional<SimulatedWork> work_of(const SimulateOptions& o) {
  if (o.prompts == 0 && o.input.empty()) return std::nullopt;
  const auto output = mill::AnswerLengths::of_word(o.output_tokens, longest_text, "--output-tokens");
  if (!o.input.empty()) return work_of_file(o.input, o.model, output);
  return made_work(o.prompts, mill::AnswerLengths::of_word(o.input_tokens, longest_text, "--input-tokens"), output);
}

namespace po = boost::program_options;

po::options_description describe(SimulateOptions& o) {
  po::options_description known("options");
  auto option = known.add_options();
  option("help,h", "prints this");
  option("json", "print JSON instead of text");
  option("model", po::value(&o.model)->default_value("configs/models/deepseek-v3"),
         "folder with a config.json, or a name of configs/models");
  option("ranks", po::value(&o.layout.ranks)->default_value(o.layout.ranks),
         "of one expert domain, which is all that is counted: domains of a run neither exchange rows nor wait "
         "for each other, so give each domain its own ranks and its share of the prompts");
  option("ranks-per-node", po::value(&o.layout.ranks_per_node)->default_value(o.layout.ranks_per_node),
         "ranks that share memory");
  option("rows", po::value(&o.layout.rows)->default_value(o.layout.rows), "of each rank in the step");
  option("picks", po::value(&o.picks)->value_name("FILE"),
         "picks.h5 of a run of this model with runtime.record_picks: ranks take its rows one after the other, again "
         "from the first if there are too few, which the output says");
  option("redundant", po::value<std::uint32_t>()->value_name("N")->notifier([&o](std::uint32_t n) { o.redundant = n; }),
         "also count the step with N redundant experts a layer, placed by the load that as many other rows have "
         "(parallel.rebalance.policy: measured); 0: placed, without copies");
  option("power-law", po::value(&o.power_law)->default_value(o.power_law, "1.01"),
         "the n-th most popular expert of a layer is picked in proportion to n^-X; 0: all alike");
  option("seed", po::value(&o.seed)->default_value(o.seed), "of picks");
  option("prompts", po::value(&o.prompts)->default_value(o.prompts),
         "also count all steps of a run of so many prompts by its scheduler; 0: one step alone. Bytes and work "
         "stay those of one step with --rows; the run takes its own time, which is printed, and up to 6 KB a prompt");
  option("input,i", po::value(&o.input)->value_name("FILE"),
         "the same of the prompts of a prompts.h5, with its columns n and max_tokens; texts take the tokenizer of "
         "--model; what prompts that begin alike share is not counted");
  option("input-tokens", po::value(&o.input_tokens)->value_name("MEAN|FILE")->default_value("803"),
         "lengths of prompts: a mean (log-normal), or a file with one a line");
  option("output-tokens", po::value(&o.output_tokens)->value_name("MEAN|FILE")->default_value("3653"),
         "lengths of answers, at most the row's max_tokens where -i has them");
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
  for (const char* other : {"prompts", "input-tokens"})
    if (!o.input.empty() && !given[other].defaulted())
      user_error("bench: --{} has no effect on the prompts of -i {}; leave one out", other, o.input);
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
                 "moemill bench simulate --ranks 8 --prompts 16000",
                 "moemill bench simulate --ranks 64 --model /data/model -i prompts.h5 --output-tokens 400"});
    return std::nullopt;
  }
  check_path("--model", o.model);
  if (given.count("input")) check_path("-i", o.input);
  if (given.count("picks")) check_path("--picks", o.picks);
  if (given.count("json")) o.form = Form::Json;
  check_limits(o, given);
  o.layout.ranks_per_node = std::min(o.layout.ranks_per_node, o.layout.ranks);
  o.run.ranks = o.layout.ranks;
  o.model = shipped_model(o.model);
  return o;
}

PicksOfRank made_up(const model::ModelConfig& config, const SimulateOptions& o) {
  return [&config, &o, made = std::optional<MadePicks>(), of = LayerId{-1}](LayerId layer, std::uint32_t rank,
                                                                            std::span<GlobalExpert> picks) mutable {
    if (layer != of) made.emplace(config.moe, o.power_law, o.seed, of = layer);
    made->draw(std::uint64_t{rank} * o.layout.rows, picks);
  };
}

}  // namespace

Simulated simulate(const SimulateOptions& o) {
  const double start = now_seconds();
  const model::ModelConfig config = model::read_config(o.model);
  const auto first = std::find(config.layer_is_moe.begin(), config.layer_is_moe.end(), true);
  if (first == config.layer_is_moe.end()) user_error("bench: {}: the model has no routed experts to count", o.model);
  Simulated result;
  const auto count = [&](const auto& picks) {
    result.exchange = count_exchange(config, o.layout, picks());
    if (!o.redundant) return;
    CountedLayout placed = o.layout;
    placed.redundant = o.redundant;
    result.placed = count_exchange(config, placed, picks());
  };
  if (o.picks.empty()) {
    count([&] { return made_up(config, o); });
  } else {
    const PicksOfRun recorded(o.picks, o.model, config);
    result.recorded = {recorded.file().rows(), recorded.file().steps, recorded.file().attempt, recorded.same_weights()};
    count([&]() -> PicksOfRank {
      return [&](LayerId layer, std::uint32_t rank, std::span<GlobalExpert> picks) {
        recorded.copy(layer, std::uint64_t{rank} * o.layout.rows, picks);
      };
    });
  }
  const double counted_step = now_seconds();
  result.step_seconds = counted_step - start;
  if (const auto work = work_of(o)) {
    result.run = count_run(work->lengths, o.run);
    result.prompts = work->lengths.prompts.size(), result.failing_prompts = work->failing;
  }
  result.run_seconds = now_seconds() - counted_step;
  return result;
}

int run_simulate(const std::vector<std::string>& args) {
  const auto options = parse(args);
  if (!options) return static_cast<int>(ExitCode::Done);
  const Simulated result = simulate(*options);
  print_simulated(*options, result);
  return static_cast<int>(ExitCode::Done);
}

}  // namespace moemill::bench
