#include "commands/verify.hpp"

#include <fmt/format.h>

#include "commands.hpp"
#include "launch.hpp"
#include "options.hpp"

namespace moemill::app {

int verify(const Words& words) {
  Options options(
      "moemill verify RUN_DIR [options]",
      "Proves that every (prompt, sample) exists exactly once and that no byte of the files has changed, and with "
      "--replay that the model generates these rows.\nExit code 1 and a list of faults if not.");
  options.examples({"moemill verify runs/first", "moemill verify runs/first --deep --replay 10",
                    "mpirun -n 32 moemill verify runs/first --replay 100"});
  options.positional("RUN_DIR", "the run directory");
  options.add()("deep", "also read back every stored value, and compare shards with outputs.h5");
  options.add()("replay", po::value<std::int64_t>()->value_name("K")->default_value(0),
                "generate K random finished rows again and compare every byte; for a model that does not fit into "
                "one process: mpirun -n R moemill verify ...");
  options.add()("seed", po::value<std::uint64_t>()->value_name("S")->default_value(0), "selects the rows of --replay");
  if (!options.parse(words)) return 0;
  mill::VerifyRunRequest request{options.get<std::string>("RUN_DIR"),
                                 options.has("deep") ? dataset::VerifyDepth::Deep : dataset::VerifyDepth::Form,
                                 options.count("replay", 0, 1'000'000'000), options.get<std::uint64_t>("seed")};
  Launch launch;
  const Comm world = launch.world();
  return on_all_ranks(world, [&] { return static_cast<int>(mill::verify(world, request)); });
}

}  // namespace moemill::app
