#include "mill/validate.hpp"

#include "base/log.hpp"
#include "commands.hpp"
#include "options.hpp"

namespace moemill::app {

int validate(const Words& words) {
  Options options(
      "moemill validate [-c run.yaml] [options]",
      "Everything that can be known before a job starts: config, model files, every prompt tokenised, memory per "
      "rank.\nOne process, no compute. Exit code 2 if the job cannot work.");
  options.add_config_options();
  options.add()("ranks", po::value<unsigned>()->value_name("R")->default_value(1), "ranks the job will have");
  options.add()("ranks-per-node", po::value<unsigned>()->value_name("N"), "ranks on one machine (all of them)");
  if (!options.parse(words)) return 0;
  mill::ValidateRequest request{{options.read_config().config},
                                static_cast<int>(options.get<unsigned>("ranks")),
                                options.find<unsigned>("ranks-per-node")};
  log::start(log::parse_level(request.run.config.runtime.log_level), 0, 1);
  return static_cast<int>(mill::validate(request));
}

}  // namespace moemill::app
