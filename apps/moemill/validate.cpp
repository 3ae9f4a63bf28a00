#include "commands/validate.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "commands.hpp"
#include "options.hpp"

namespace moemill::app {

namespace {
constexpr std::int64_t most_ranks = 1'000'000;
}

int validate(const Words& words) {
  Options options(
      "moemill validate [-c run.yaml] [options]",
      "Checks everything that can be known before a job starts: config, model files, all prompts tokenised, the memory "
      "per rank and whether it fits.\nOne process, no computation. Exit code 2 if the job cannot work.\nWithout an "
      "input file it reports only the sizes; for these a folder with just a config.json suffices.");
  options.examples({"moemill validate -c run.yaml --ranks 32",
                    "moemill validate --model models/Qwen3-30B-A3B -i prompts.h5 --ranks 64 --ranks-per-node 16",
                    "moemill validate --model configs/models/deepseek-v3 --ranks 8 --memory-per-node 1500"});
  options.add_config_options();
  options.add()("ranks", po::value<std::int64_t>()->value_name("R")->default_value(1), "ranks the job will have");
  options.add()("ranks-per-node", po::value<std::int64_t>()->value_name("N"), "ranks per machine (all of them)");
  options.add()("memory-per-node", po::value<double>()->value_name("GIB"),
                "memory per machine, in GiB (what is free on this one)");
  if (!options.parse(words)) return 0;
  const auto ranks = static_cast<unsigned>(options.count("ranks", 1, most_ranks));
  const std::optional<std::uint32_t> ranks_per_node = options.ranks_per_node(ranks);
  mill::ValidateRequest request{{options.read_config().config}, ranks, ranks_per_node};
  request.input = mill::ValidateRequest::Input::Optional;
  if (auto gib = options.find<double>("memory-per-node")) {
    if (!(*gib > 0 && *gib < 1e9)) user_error("--memory-per-node {}: must be a number of GiB above 0", *gib);
    request.node_bytes = static_cast<std::uint64_t>(*gib * 0x1p30);
  }
  log::start(log::parse_level(request.run.config.runtime.log_level), 0, 1);
  return static_cast<int>(mill::validate(request));
}

}  // namespace moemill::app
