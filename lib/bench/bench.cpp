#include "bench/bench.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "bench/attention_bench.hpp"
#include "bench/calibrate.hpp"
#include "bench/end_to_end_bench.hpp"
#include "bench/exchange_bench.hpp"
#include "bench/gemm_bench.hpp"
#include "bench/simulate.hpp"

namespace moemill::bench {

namespace {

using Words = std::vector<std::string>;

struct SubCommand {
  const char* name;
  const char* summary;
  int (*run)(const Words& args, const Comm& world);
};

// Runs a kernel benchmark on rank 0 alone; under mpirun, the other ranks wait until it is done.
template <int (*body)(const Words&)>
int on_rank_0(const Words& args, const Comm& world) {
  const int code = world.rank() == 0 ? body(args) : 0;
  world.barrier();
  return code;
}

constexpr SubCommand sub_commands[] = {
    {"gemm", "matrix products with weights of every format, cold in memory and warm in cache",
     on_rank_0<run_gemm_bench>},
    {"attention", "a layer of attention, in decode and in prompts, on contexts of several lengths",
     on_rank_0<run_attention_bench>},
    {"exchange", "rows to their experts and back, compared with bare transfers; under mpirun", run_exchange_bench},
    {"decode", "decode steps of a whole model with dummy weights; under mpirun or alone", run_decode_bench},
    {"prefill", "prefill steps of a whole model with dummy weights; under mpirun or alone", run_prefill_bench},
    {"simulate", "what a step of thousands of ranks sends and computes, counted by one process",
     on_rank_0<run_simulate>},
    {"calibrate", "what a model's steps take on this machine, written to a file; under mpirun or alone", run_calibrate},
};

void print_help() {
  fmt::print("usage: moemill bench <benchmark> [options]\n\nbenchmarks:\n");
  for (const SubCommand& s : sub_commands) fmt::print("  {:<12} {}\n", s.name, s.summary);
  fmt::print(
      "\n`moemill bench <benchmark> --help` lists its options. With --json stdout has one JSON value and\n"
      "nothing else; progress goes to stderr.\n\n"
      "what the figures mean\n"
      "  FMA peak       fused multiply-adds of fp32 on registers, at the vector width of --isa; each\n"
      "                 counts as two operations\n"
      "  bf16 dot peak  vdpbf16ps on registers; absent where the processor or --isa does not have it\n"
      "  int8 dot peak  vpdpbusd on registers, or the four instructions that replace it\n"
      "  memory reads   bytes per second from a buffer of 256 MiB, by all threads of all ranks\n"
      "  needed         operations of the model's definition, and bytes that a step has to read: experts\n"
      "                 that its rows picked (each once), all other weights (once per rank), cached values\n"
      "                 that a row sees (each once); padding, recomputing and repeated reads do not count\n"
      "  peaks of their units   needed operations, each kind at the peak of the fastest unit that its\n"
      "                 definition allows, over the time of the step\n"
      "  cold, warm     weights that no cache holds any more; weights that the last call has just read\n"
      "Peaks and reads are the best of several samples, taken on the same cores in the same run; times\n"
      "are medians.\n\n"
      "examples:\n"
      "  moemill bench gemm\n"
      "  moemill bench attention --model configs/models/qwen3-30b-a3b\n"
      "  mpirun -n 2 --bind-to core moemill bench decode --model configs/bench/qwen3-0.5b\n");
}

}  // namespace

int run_bench(const std::vector<std::string>& args, const Comm& world) {
  if (args.empty() || args[0] == "--help" || args[0] == "-h") {
    if (world.rank() == 0) print_help();
    return static_cast<int>(args.empty() ? ExitCode::Usage : ExitCode::Done);
  }
  for (const SubCommand& s : sub_commands) {
    if (args[0] == s.name) return s.run({args.begin() + 1, args.end()}, world);
  }
  user_error("bench: no benchmark is called '{}'; `moemill bench --help` lists them", args[0]);
}

}  // namespace moemill::bench
