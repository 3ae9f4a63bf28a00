#include "bench/print_calibration.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace moemill::bench {
namespace {

using calibration::Calibration;
using calibration::Curve;
using calibration::Drawing;
using calibration::Stages;
using mill::Machine;

// The rates of a record, with the words that print them.
struct Rate {
  double Machine::Rates::*member;
  const char* words;
};
constexpr Rate all_rates[] = {
    {&Machine::Rates::fma_flops, "GFLOP/s of fused multiply-adds"},
    {&Machine::Rates::bf16_dot_flops, "GFLOP/s of bf16 dot products"},
    {&Machine::Rates::int8_dot_ops, "GOP/s of int8 dot products"},
    {&Machine::Rates::read_bytes_per_second, "GB/s read from memory"},
};

// "; 12.1 before": the number in the file that is being replaced.
std::string before(const std::optional<double>& earlier, double unit) {
  return earlier ? fmt::format("; {:.1f} before", *earlier / unit) : "";
}

void print_rates(const char* name, const Machine::Rates& now, const Machine::Rates* earlier) {
  for (const Rate& rate : all_rates) {
    if (now.*rate.member == 0) continue;
    const auto then = earlier && earlier->*rate.member > 0 ? std::optional(earlier->*rate.member) : std::nullopt;
    fmt::print("  {:<14} {:>9.1f} {}{}\n", name, now.*rate.member / 1e9, rate.words, before(then, 1e9));
    name = "";
  }
}

void print_link(const char* name, const std::optional<Machine::Link>& now,
                const std::optional<Machine::Link>& earlier) {
  if (!now) return fmt::print("  {:<14} not measured: it takes two ranks there\n", name);
  const auto of_earlier = [&](double Machine::Link::*rate) {
    return earlier ? std::optional((*earlier).*rate) : std::nullopt;
  };
  fmt::print("  {:<14} {:>9.1f} GB/s from one rank to another{}\n", name, now->bytes_per_second / 1e9,
             before(of_earlier(&Machine::Link::bytes_per_second), 1e9));
  fmt::print("  {:<14} {:>9.1f} us for a short message{}\n", "", now->latency_seconds * 1e6,
             before(of_earlier(&Machine::Link::latency_seconds), 1e-6));
}

void print_machine(const Machine& m, const std::optional<Machine>& earlier) {
  fmt::print("machine: {}, {}, {} x {} ranks x {} threads\n", m.cpu, m.isa, m.nodes, m.ranks_per_node,
             m.threads_per_rank);
  print_rates("one core", m.core, earlier ? &earlier->core : nullptr);
  print_rates("a node's ranks", m.node, earlier ? &earlier->node : nullptr);
  print_link("within a node", m.within_node, earlier ? earlier->within_node : std::nullopt);
  print_link("between nodes", m.between_nodes, earlier ? earlier->between_nodes : std::nullopt);
}

struct Column {
  const char* words;
  Curve Stages::*curve;
};
constexpr Column columns[] = {{"prompts'", &Stages::prompt_projections},
                              {"generated", &Stages::generated_projections},
                              {"small", &Stages::small},
                              {"core", &Stages::generated_core},
                              {"dense", &Stages::dense},
                              {"shared", &Stages::shared},
                              {"dispatch", &Stages::dispatch},
                              {"combine", &Stages::combine},
                              {"head", &Stages::head},
                              {"outside", &Stages::outside}};

// The share of the rank's higher peak that products of so many rows with `parameters` reach.
double share_of_peak(const Calibration& c, double parameters, double rows, double seconds) {
  const Machine::Rates& node = c.machine.node;
  const double peak = (c.arithmetic == Arithmetic::Int8 ? std::max(node.int8_dot_ops, node.fma_flops)
                                                        : std::max(node.fma_flops, node.bf16_dot_flops)) /
                      c.machine.ranks_per_node;
  return seconds > 0 ? 100 * 2 * parameters * rows / seconds / peak : 0;
}

void print_stages(const Calibration& c, const Stages& stages) {
  fmt::print("\n{} micro-batch{}: microseconds of a layer over the rows of a rank; head and outside: of a step\n",
             stages.micro_batches, stages.micro_batches == 1 ? "" : "es");
  fmt::print("{:>6}", "rows");
  for (const Column& column : columns) fmt::print(" {:>9}", column.words);
  fmt::print("\n");
  for (const Curve::Point& point : stages.generated_core.points()) {
    fmt::print("{:>6.0f}", point.size);
    for (const Column& column : columns) fmt::print(" {:>9.0f}", 1e6 * (stages.*column.curve).at(point.size));
    fmt::print("\n");
  }
  if (stages.share_on_core < calibration::least_share_on_core)
    fmt::print("  other programs took {:.0f} % of the cores' time: measure again on a quiet machine\n",
               100 * (1 - stages.share_on_core));
  fmt::print("  an expert's rows: microseconds (share of the peak):\n   ");
  for (const Curve::Point& point : stages.expert.points())
    fmt::print(" {:.1f}: {:.0f} ({:.0f} %)", point.size, 1e6 * point.seconds,
               share_of_peak(c, c.shape.expert, point.size, point.seconds));
  fmt::print("\n");
}

void print_contexts(const char* name, const Curve& curve) {
  fmt::print("  {}, microseconds of a row and layer by context:", name);
  for (const Curve::Point& point : curve.points()) fmt::print(" {:.0f}: {:.1f}", point.size, 1e6 * point.seconds);
  fmt::print("\n");
}

void print_rest(const Calibration& c) {
  fmt::print("\n");
  print_contexts("attention of generated rows", c.stages.front().generated_by_context);
  print_contexts("attention of prompts", c.stages.front().prompt_by_context);
  fmt::print("  drawing, microseconds of a row:");
  for (std::size_t i = 0; i < calibration::drawings; ++i)
    fmt::print(" {} {:.1f}", calibration::name_of(static_cast<Drawing>(i)), 1e6 * c.drawing_seconds_a_row[i]);
  fmt::print("\n  agreeing on a step: {:.1f} us\n", 1e6 * c.agreeing_seconds);
  const auto print_rate = [](const char* name, const std::optional<double>& rate, const char* why_not) {
    if (rate) return fmt::print("  {}: {:.1f} MB/s of a rank\n", name, *rate / 1e6);
    fmt::print("  {}: not measured: {}\n", name, why_not);
  };
  fmt::print("  starting, before weights are read: {:.2f} s\n", c.start_seconds);
  print_rate("loading weights", c.load_bytes_per_second, "the folder has no weights");
  print_rate("tokenizing", c.tokenize_bytes_per_second, "the folder has no tokenizer");
  print_rate("writing outputs", c.shard_bytes_per_second, "there is no --output to write beside");
}

}  // namespace

void print_calibration(const Calibration& c, const std::optional<Calibration>& earlier) {
  print_machine(c.machine, earlier ? std::optional(earlier->machine) : std::nullopt);
  fmt::print("\nmodel: {}, {} of {} layers, {} of {} experts, {}\n", c.model, c.measured_layers,
             c.shape.moe_layers + c.shape.dense_layers, c.measured_experts, c.shape.experts, word_of(c.arithmetic));
  for (const Stages& stages : c.stages) print_stages(c, stages);
  print_rest(c);
}

}  // namespace moemill::bench
