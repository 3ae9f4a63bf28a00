#include "commands/plan.hpp"

#include <fmt/format.h>

#include "commands.hpp"
#include "options.hpp"
#include "plan/estimate/catalog.hpp"

namespace moemill::app {

int plan(const Words& words) {
  Options options(
      "moemill plan [options]",
      "What work costs on machines that are not at hand, from their data sheets and published measurements of kernels. "
      "Needs no MPI, no network and no weights. This version prints how well its step model meets published "
      "throughputs, and two published calculations.");
  options.examples({"moemill plan --check", "moemill plan --check --points mine.yaml --json | jq .summary",
                    "moemill plan --example day6", "moemill plan --hardware H100,GB200"});
  options.add()("check", "compare the step model with published throughputs");
  options.add()("points", po::value<std::string>()->value_name("FILE"),
                "other points than configs/published.yaml, in the same format (with --check)");
  options.add()("json", "as one JSON object (with --check)");
  options.add()("example", po::value<std::string>()->value_name("NAME"),
                "a published calculation, line by line: day6 or article");
  options.add()("hardware", po::value<std::string>()->value_name("NAME|FILE,..."),
                "print what is known of machines: names of configs/hardware, or files with a '/' in their path");
  options.add()("configs", po::value<std::string>()->value_name("DIR"),
                "folder with efficiency.yaml, hardware/, models/ and published.yaml, in place of the program's own");
  if (!options.parse(words)) return 0;
  const std::string configs =
      options.has("configs") ? options.get<std::string>("configs") : estimate::shipped_configs();
  const bool check = options.has("check");
  if (!check && (options.has("points") || options.has("json")))
    user_error("--points and --json belong to --check: moemill plan --check");
  if (check + options.has("example") + options.has("hardware") != 1)
    user_error("plan needs one of --check, --example and --hardware; see moemill plan --help");
  const auto form = options.has("json") ? mill::PlanForm::Json : mill::PlanForm::Text;
  if (check) fmt::print("{}", mill::plan_check(configs, options.find<std::string>("points"), form));
  if (options.has("example")) fmt::print("{}", mill::plan_example(configs, options.get<std::string>("example")));
  if (options.has("hardware")) fmt::print("{}", mill::plan_machines(configs, options.get<std::string>("hardware")));
  return 0;
}

}  // namespace moemill::app
