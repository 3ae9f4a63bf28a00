#include "commands/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

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
                "tokens of a prompt, on average; or a file of lengths, one per line: LENGTH, or LENGTH COUNT (or "
                "LENGTH,COUNT) for "
                "so many prompts of that length");
  options.add()("output-tokens", word("MEAN|FILE"), "generated tokens of a prompt, in the same way");
  options.add()("output-spread", number("S"),
                "of answers of which only a mean is known, which are taken as log-normal: standard deviation of the "
                "logarithm (0.7 is assumed; 0: equal)");
  options.add()("cached-fraction", number("F"), "of input tokens that a cache holds already, 0 to 1");
  options.add()("like", word("RUN_DIR"), "lengths, hits and failures as this earlier, smaller run measured them");
  options.add()("gpus", word("LIST"), "numbers of GPUs to try; without it 1 to 64 nodes, in steps");
  options.add()("nodes", word("LIST"), "the same in nodes");
  options.add()("tokens-per-second-per-user", number("X"), "at least; without it no speed is asked for");
  options.add()("deadline", word("TIME"), "at most: 90m, 24h, 2d");
  options.add()("budget", number("X"), "at most, in the currency of the prices");
  options.add()("precision", word("NAME"), "auto (as published), bf16, fp8, int8, fp4, mxfp4-fp8 or mxfp4-bf16");
  options.add()("all", "list every number of GPUs, and each layout that is left out");
  options.add()("explain", "each term of the steps with its formula and its numbers");
  options.add()("curve", word("NAME,..."),
                "what changes over batch, gpus, speed, context, network or price, with the bound at each; or all");
  options.add()("against", word("scale_up"),
                "also each machine as it would be with one domain of fast links for all GPUs");
  options.add()("calibration", word("FILE"),
                "of `moemill bench calibrate`: the time of the run of -c run.yaml on machines like this one");
  options.add()("ranks", po::value<std::int64_t>()->value_name("R"), "ranks of that run (1)");
  options.add()("ranks-per-node", po::value<std::int64_t>()->value_name("N"), "of them on each machine (all)");
  options.add()("hour-price", number("X"), "of a GPU, in place of the machines' own; in cost.currency, USD by default");
}

// What only a question about machines that are not at hand takes, besides the machines and the prompts.
constexpr const char* of_machines[] = {"input-tokens",
                                       "output-spread",
                                       "cached-fraction",
                                       "like",
                                       "gpus",
                                       "nodes",
                                       "precision",
                                       "tokens-per-second-per-user",
                                       "deadline",
                                       "budget",
                                       "all",
                                       "explain",
                                       "curve",
                                       "against",
                                       "hour-price"};
// What only a question about a run on this machine takes, besides --calibration.
constexpr const char* of_a_run[] = {"ranks", "ranks-per-node"};

void refuse(const Options& options, std::span<const char* const> names, const char* why) {
  for (const char* name : names)
    if (options.has(name)) user_error("--{} {}", name, why);
}

void refuse_question_options(const Options& options) {
  constexpr const char* of_both[] = {"output-tokens", "calibration"};
  constexpr const char* why =
      "belongs to a question, which -c run.yaml, or --model and --prompts ask; see moemill plan --help";
  refuse(options, of_machines, why);
  refuse(options, of_a_run, why);
  refuse(options, of_both, why);
}

// The time of a run on this machine.
int time_run(const Options& options) {
  constexpr const char* more_of_machines[] = {"hardware", "prompts", "json", "change"};
  constexpr const char* why = "belongs to machines that are not at hand; leave out --calibration";
  refuse(options, more_of_machines, why);
  refuse(options, of_machines, why);
  mill::PlanRunRequest run{options.read_config().config, options.get<std::string>("calibration"), 1, {}, ""};
  if (run.config.input.path.empty()) user_error("--calibration needs a run: -c run.yaml, or --model and -i");
  constexpr std::int64_t most_ranks = 65536;
  if (options.has("ranks")) run.ranks = static_cast<std::uint32_t>(options.count("ranks", 1, most_ranks));
  run.ranks_per_node = options.ranks_per_node(run.ranks);
  run.output_tokens = options.find<std::string>("output-tokens").value_or("");
  fmt::print("{}", mill::plan_run(run));
  return 0;
}

std::vector<std::string> changes_of(const Options& options) {
  return options.find<std::vector<std::string>>("change").value_or(std::vector<std::string>());
}

// max_tokens, if it is a value of the user's and not the default.
std::optional<double> most_tokens_of(const Options& options, const Options::ConfigSource& source) {
  const bool is_set = std::any_of(source.overrides.begin(), source.overrides.end(),
                                  [](const auto& one) { return one.key == "sampling.max_tokens"; });
  if (!is_set && !options.has("config")) return std::nullopt;
  return source.config.sampling.max_tokens;
}

// The prompts of a file, or as many as the words say.
void ask_work(const Options& options, const RunConfig& config, mill::PlanQuestion& q) {
  q.output_tokens = options.find<std::string>("output-tokens").value_or("");
  q.output_spread = options.find<double>("output-spread");
  q.like = options.find<std::string>("like").value_or("");
  if (!config.input.path.empty()) {
    for (const char* known : {"prompts", "input-tokens", "cached-fraction"})
      if (options.has(known)) user_error("--{} and an input file: the file says it; leave one of them out", known);
    q.surveyed = mill::survey_work(config, q.configs);
    return;
  }
  if (q.model.empty()) user_error("--model is missing; see moemill plan --help");
  for (const char* needed : {"prompts", "input-tokens", "output-tokens"})
    if (!options.has(needed) && q.like.empty())
      user_error("--{} is missing (or an earlier run: --like RUN_DIR); see moemill plan --help", needed);
  q.prompts = options.find<double>("prompts"), q.cached_fraction = options.find<double>("cached-fraction");
  q.samples = config.sampling.n;
  q.input_tokens = options.find<std::string>("input-tokens").value_or("");
}

// A config file may have what only its run needs; a word of the command line that changes nothing is a mistake.
void refuse_run_settings(const Options::ConfigSource& source) {
  const bool has_prompts = !source.config.input.path.empty();
  for (const mill::Override& one : source.overrides) {
    const auto is_of = [&](const char* part) { return one.key.starts_with(part); };
    const bool is_read = one.key == "model.path" || (has_prompts && one.key == "model.max_model_len");
    if (is_of("output.") || is_of("parallel.") || is_of("runtime.") || (is_of("model.") && !is_read))
      user_error("{}: changes nothing about machines that are not at hand; leave it out", one.origin);
    if (!has_prompts && (is_of("input.") || is_of("errors.")))
      user_error("{}: is about a file of prompts: give it with -i, or leave this out", one.origin);
    if (one.key == "cost.hour_price" && source.config.cost.unit != "gpu")
      user_error("{}: is no price of a GPU (cost.unit is {}); give that with --hour-price", one.origin,
                 source.config.cost.unit);
  }
}

int answer_question(const Options& options, const std::string& configs) {
  refuse(options, of_a_run, "belongs to a run on this machine: add --calibration FILE");
  const Options::ConfigSource source = options.read_config();
  refuse_run_settings(source);
  mill::PlanQuestion q;
  q.configs = configs;
  q.model = source.config.model.path;
  if (!options.has("hardware")) user_error("--hardware is missing; see moemill plan --help");
  q.hardware = options.get<std::string>("hardware");
  ask_work(options, source.config, q);
  q.max_tokens = most_tokens_of(options, source);
  q.gpus = options.find<std::string>("gpus"), q.nodes = options.find<std::string>("nodes");
  q.tokens_per_second_per_user = options.find<double>("tokens-per-second-per-user");
  q.deadline = options.find<std::string>("deadline"), q.budget = options.find<double>("budget");
  q.precision = options.find<std::string>("precision").value_or("auto");
  q.hour_price = options.find<double>("hour-price");
  if (!q.hour_price && source.config.cost.unit == "gpu") q.hour_price = source.config.cost.hour_price;
  q.currency = source.config.cost.currency;
  q.changes = changes_of(options);
  q.curves = options.find<std::string>("curve").value_or("");
  q.against = options.find<std::string>("against").value_or("");
  if (options.has("all")) q.listing = estimate::Listing::All;
  if (options.has("explain")) q.detail = estimate::Detail::Explained;
  if (options.has("json")) q.form = mill::PlanForm::Json;
  const mill::PlanAnswer answer = mill::answer(q);
  fmt::print("{}", answer.text);
  return static_cast<int>(answer.code);
}

// What the words ask for: one thing alone.
void check_one_thing(const Options& options, bool asks) {
  const bool check = options.has("check"), example = options.has("example");
  for (const char* other : {"check", "example"})
    if (options.has(other) && asks)
      user_error("--{} stands alone; leave out --model, --prompts, -c and -i, or --{}", other, other);
  if (check && example) user_error("--check and --example: leave one of them out");
  for (const char* other : {"check", "example"})
    if (options.has(other) && options.has("hardware")) user_error("--{} and --hardware: leave one of them out", other);
  if (!asks && !check && !example && !options.has("hardware"))
    user_error(
        "plan needs a question (-c run.yaml, or --model, --prompts ...), --check, --example or --hardware; see moemill "
        "plan --help");
  if (!check && options.has("points")) user_error("--points belongs to --check: moemill plan --check");
  if (!check && !asks && options.has("json")) user_error("--json belongs to a question or to --check");
  if (!check && !asks && options.has("change")) user_error("--change belongs to a question or to --check");
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
                    "moemill plan --check --points mine.yaml --json | jq .summary",
                    "moemill plan --model deepseek-v3 --like runs/first --prompts 1000000 --hardware H200 --curve all",
                    "moemill plan --example day6", "moemill plan --hardware H100,GB200"});
  add_question(options);
  options.add()("check", "compare the step model with published throughputs");
  options.add()("points", po::value<std::string>()->value_name("FILE"),
                "other points than configs/published.yaml, in the same format (with --check)");
  options.add()("json", "the answer as one JSON object, with all curves; or the table of --check");
  options.add()("change", po::value<std::vector<std::string>>()->value_name("KEY=VALUE"),
                "another figure than the files have, such as network.gbytes_per_second=100, efficiency.memory=+20% or "
                "price.per_hour=-10% (repeatable)");
  options.add()("example", po::value<std::string>()->value_name("NAME"),
                "a published calculation, line by line: day6 or article");
  options.add()("configs", po::value<std::string>()->value_name("DIR"),
                "folder with efficiency.yaml, hardware/, models/ and published.yaml, in place of the program's own");
  if (!options.parse(words)) return 0;
  log::start(log::Level::Warning, 0, 1);  // on stderr
  const std::string configs =
      options.has("configs") ? options.get<std::string>("configs") : estimate::shipped_configs();
  const bool asks = options.has("prompts") || options.has("model") || options.has("config") || options.has("input") ||
                    options.has("like");
  check_one_thing(options, asks);
  if (asks && options.has("calibration")) return time_run(options);
  if (asks) return answer_question(options, configs);
  refuse_question_options(options);
  const auto form = options.has("json") ? mill::PlanForm::Json : mill::PlanForm::Text;
  if (options.has("check"))
    fmt::print("{}", mill::plan_check({configs, options.find<std::string>("points"), changes_of(options), form}));
  if (options.has("example")) fmt::print("{}", mill::plan_example(configs, options.get<std::string>("example")));
  if (options.has("hardware")) fmt::print("{}", mill::plan_machines(configs, options.get<std::string>("hardware")));
  return 0;
}

}  // namespace moemill::app
