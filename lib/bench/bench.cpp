#include "bench/bench.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "bench/attention_bench.hpp"
#include "bench/gemm_bench.hpp"

namespace moemill::bench {

namespace {

struct SubCommand {
  const char* name;
  const char* summary;
  int (*run)(const std::vector<std::string>& args);
};

constexpr SubCommand sub_commands[] = {
    {"gemm", "matrix products with bf16 weights, cold in memory and warm in cache", run_gemm_bench},
    {"attention", "the attention kernel on blocks of 64 keys", run_attention_bench},
};

void print_help() {
  fmt::print("usage: moemill bench <benchmark> [options]\n\nbenchmarks:\n");
  for (const SubCommand& s : sub_commands) fmt::print("  {:<12} {}\n", s.name, s.summary);
  fmt::print("\n`moemill bench <benchmark> --help` lists its options.\n");
}

}  // namespace

int run_bench(const std::vector<std::string>& args) {
  if (args.empty() || args[0] == "--help" || args[0] == "-h") {
    print_help();
    return static_cast<int>(args.empty() ? ExitCode::Usage : ExitCode::Done);
  }
  for (const SubCommand& s : sub_commands) {
    if (args[0] == s.name) return s.run({args.begin() + 1, args.end()});
  }
  user_error("bench: no benchmark is called '{}'; `moemill bench --help` lists them", args[0]);
}

}  // namespace moemill::bench
