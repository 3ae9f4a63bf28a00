#include "commands/preview.hpp"

#include "base/log.hpp"
#include "commands.hpp"
#include "options.hpp"

namespace moemill::app {

int preview(const Words& words) {
  Options options("moemill preview [-c run.yaml] [options]",
                  "Prints the first prompts as the model receives them, as text and as token ids, with a short "
                  "generation for each. One process; nothing is written.");
  options.examples({"moemill preview -c run.yaml --num-prompts 5",
                    "moemill preview --model models/Qwen3-30B-A3B -i prompts.h5 --max-tokens 100"});
  options.add_config_options();
  options.add()("num-prompts", po::value<std::int64_t>()->value_name("K")->default_value(3), "prompts to show");
  options.add()("max-tokens", po::value<std::int64_t>()->value_name("T")->default_value(32),
                "most tokens to generate per prompt");
  if (!options.parse(words)) return 0;
  mill::PreviewRequest request{options.read_config().config, options.count("num-prompts", 1, 1'000'000),
                               static_cast<std::uint32_t>(options.count("max-tokens", 0, 1'000'000))};
  log::start(log::parse_level(request.config.runtime.log_level), 0, 1);
  return static_cast<int>(mill::preview(request));
}

}  // namespace moemill::app
