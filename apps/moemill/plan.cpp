#include "commands/plan.hpp"

#include <fmt/format.h>

#include "base/log.hpp"
#include "commands.hpp"
#include "commands/plan_question.hpp"
#include "commands/plan_run.hpp"
#include "options.hpp"
#include "plan/estimate/catalog.hpp"

namespace moemill::app {

namespace {

void add_question(Options& options) {
  const auto word = [](const char* name) { return po::value<std::string>()->value_name(name); };
  const auto number = [](const char* name) { return po::value<double>()->value_name(name); };
  options.add_config_options();
  options.add()("hardware", word("NAME|FILE,..."),
                "machines: names of configs/hardware, or files (with a '/', or ending in .yaml); alone: print what is "
                "known of them");
  options.add()("prompts", number("N"), "number of prompts");
  options.add()("input-tokens", word("MEAN|FILE"),
                "tokens of a prompt, on average; or a file of lengths, one per line or with a count behind each");
  options.add()("output-tokens", word("MEAN|FILE"), "generated tokens of a prompt, in the same way");
  options.add()("cached-fraction", number("F"), "of input tokens that a cache holds already, 0 to 1");
  options.add()("gpus", word("LIST"), "numbers of GPUs to try; without it 1 to 64 nodes, in steps");
  options.add()("nodes", word("LIST"), "the same in nodes");
  options.add()("tokens-per-second-per-user", number("X"), "at least; without it no speed is asked for");
  options.add()("deadline", word("TIME"), "at most: 90m, 24h, 2d");
  options.add()("budget", number("X"), "at most, in the currency of the prices");
  options.add()("precision", word("NAME"), "auto (as published), bf16, fp8, int8, fp4, mxfp4-fp8 or mxfp4-bf16");
  options.add()("all", "list every number of GPUs, not the best of each machine");
  options.add()("calibration", word("FILE"),
                "of `moemill bench calibrate`: the time of the run of -c run.yaml on machines like this one");
  options.add()("ranks", po::value<std::int64_t>()->value_name("R"), "ranks of that run (1)");
  options.add()("ranks-per-node", po::value<std::int64_t>()->value_name("N"), "of them on each machine (all)");
  options.add()("hour-price", number("X"), "of a GPU, in place of the machines' own; in cost.currency, USD by default");
}

// What says something of a question only.
void refuse_question_options(const Options& options) {
  for (const char* option :
       {"input-tokens", "output-tokens", "cached-fraction", "gpus", "nodes", "tokens-per-second-per-user", "deadline",
        "budget", "precision", "all", "hour-price", "calibration", "ranks", "ranks-per-node"})
    if (options.has(option))
      user_error("--{} belongs to a question, which -c run.yaml, or --model and --prompts ask; see moemill plan --help",
                 option);
}

// The time of a run on this machine.
int time_run(const Options& options) {
  for (const char* other : {"hardware", "prompts", "input-tokens", "cached-fraction", "gpus", "nodes", "precision",
                            "tokens-per-second-per-user", "deadline", "budget", "all", "hour-price"})
    if (options.has(other)) user_error("--{} belongs to machines that are not at hand; leave out --calibration", other);
  mill::PlanRunRequest run{options.read_config().config, options.get<std::string>("calibration"), 1, {}, ""};
  if (run.config.input.path.empty()) user_error("--calibration needs a run: -c run.yaml, or --model and -i");
  constexpr std::int64_t most_ranks = 65536;
  if (options.has("ranks")) run.ranks = static_cast<std::uint32_t>(options.count("ranks", 1, most_ranks));
  if (options.has("ranks-per-node"))
    run.ranks_per_node = static_cast<std::uint32_t>(options.count("ranks-per-node", 1, most_ranks));
  run.output_tokens = options.find<std::string>("output-tokens").value_or("");
  fmt::print("{}", mill::plan_run(run));
  return 0;
}

int answer_question(const Options& options, const std::string& configs) {
  const RunConfig config = options.read_config().config;
  mill::PlanQuestion q;
  q.configs = configs;
  q.model = config.model.path;
  if (!options.has("hardware")) user_error("--hardware is missing; see moemill plan --help");
  q.hardware = options.get<std::string>("hardware");
  q.output_tokens = options.find<std::string>("output-tokens").value_or("");
  if (!config.input.path.empty()) {
    for (const char* known : {"prompts", "input-tokens", "cached-fraction"})
      if (options.has(known)) user_error("--{} and an input file: the file says it; leave one of them out", known);
    q.surveyed = mill::survey_work(config);
  } else {
    if (q.model.empty()) user_error("--model is missing; see moemill plan --help");
    for (const char* needed : {"prompts", "input-tokens", "output-tokens"})
      if (!options.has(needed)) user_error("--{} is missing; see moemill plan --help", needed);
    q.prompts = options.get<double>("prompts"), q.input_tokens = options.get<std::string>("input-tokens");
    q.cached_fraction = options.find<double>("cached-fraction").value_or(0);
  }
  q.gpus = options.find<std::string>("gpus"), q.nodes = options.find<std::string>("nodes");
  q.tokens_per_second_per_user = options.find<double>("tokens-per-second-per-user");
  q.deadline = options.find<std::string>("deadline"), q.budget = options.find<double>("budget");
  q.precision = options.find<std::string>("precision").value_or("auto");
  q.hour_price = options.find<double>("hour-price");
  if (!q.hour_price && config.cost.unit == "gpu") q.hour_price = config.cost.hour_price;
  q.currency = config.cost.currency;
  if (options.has("all")) q.listing = estimate::Listing::All;
  const mill::PlanAnswer answer = mill::answer(q);
  fmt::print("{}", answer.text);
  return static_cast<int>(answer.code);
}

}  // namespace

int plan(const Words& words) {
  Options options(
      "moemill plan [options]",
      "What work costs on machines that are not at hand, from their data sheets and published measurements of kernels. "
      "Needs no MPI, no network and no weights. The first line is the answer: time, GPUs and cost of so many prompts. "
      "--check shows how well the model behind it meets published throughputs.");
  options.examples({"moemill plan --model deepseek-v3 --prompts 10000000 --input-tokens 1500 --output-tokens 600 \\",
                    "  --hardware H100,GB200 --deadline 24h",
                    "moemill plan -c run.yaml --hardware H100 --output-tokens 600",
                    "moemill plan -c run.yaml --ranks 4 --calibration calibration.json", "moemill plan --check",
                    "moemill plan --check --points mine.yaml --json | jq .summary", "moemill plan --example day6",
                    "moemill plan --hardware H100,GB200"});
  add_question(options);
  options.add()("check", "compare the step model with published throughputs");
  options.add()("points", po::value<std::string>()->value_name("FILE"),
                "other points than configs/published.yaml, in the same format (with --check)");
  options.add()("json", "as one JSON object (with --check)");
  options.add()("example", po::value<std::string>()->value_name("NAME"),
                "a published calculation, line by line: day6 or article");
  options.add()("configs", po::value<std::string>()->value_name("DIR"),
                "folder with efficiency.yaml, hardware/, models/ and published.yaml, in place of the program's own");
  if (!options.parse(words)) return 0;
  log::start(log::Level::Warning, 0, 1);  // on stderr
  const std::string configs =
      options.has("configs") ? options.get<std::string>("configs") : estimate::shipped_configs();
  const bool check = options.has("check");
  if (!check && (options.has("points") || options.has("json")))
    user_error("--points and --json belong to --check: moemill plan --check");
  const bool asks = options.has("prompts") || options.has("model") || options.has("config") || options.has("input");
  if (check + options.has("example") + asks + (options.has("hardware") && !asks) != 1)
    user_error(
        "plan needs a question (-c run.yaml, or --model, --prompts ...), --check, --example or --hardware; see moemill "
        "plan --help");
  if (asks && options.has("calibration")) return time_run(options);
  if (asks) return answer_question(options, configs);
  refuse_question_options(options);
  const auto form = options.has("json") ? mill::PlanForm::Json : mill::PlanForm::Text;
  if (check) fmt::print("{}", mill::plan_check(configs, options.find<std::string>("points"), form));
  if (options.has("example")) fmt::print("{}", mill::plan_example(configs, options.get<std::string>("example")));
  if (options.has("hardware")) fmt::print("{}", mill::plan_machines(configs, options.get<std::string>("hardware")));
  return 0;
}

}  // namespace moemill::app
