#include "bench/calibrate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <map>
#include <optional>

#include "base/build_info.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/text/path_text.hpp"
#include "bench/options.hpp"
#include "bench/peak/peak.hpp"
#include "system/comm/agree.hpp"
#include "system/files/files.hpp"

namespace moemill::bench {
namespace {

using mill::Machine;

// Size of the messages that measure bandwidth: far beyond any library's eager limit.
constexpr std::size_t message_bytes = std::size_t{16} << 20;
constexpr int message_samples = 20, latency_samples = 200;

// Seconds that `bytes` take from rank `a` to rank `b`: half of a round trip, the median of many. Collective.
double one_way_seconds(const Comm& world, int a, int b, std::size_t bytes, int samples) {
  const auto ranks = static_cast<std::size_t>(world.size()), first = static_cast<std::size_t>(a),
             second = static_cast<std::size_t>(b), me = static_cast<std::size_t>(world.rank());
  std::vector<std::byte> out(bytes), in(bytes);
  std::vector<double> seconds;
  for (int sample = -1; sample < samples; ++sample) {  // sample -1 warms up and is not used
    world.barrier();
    const double start = now_seconds();
    for (const auto& [from, to] : {std::pair(first, second), std::pair(second, first)}) {
      std::vector<std::uint32_t> send(ranks), receive(ranks);
      if (me == from) send[to] = static_cast<std::uint32_t>(bytes);
      if (me == to) receive[from] = static_cast<std::uint32_t>(bytes);
      world.start_all_to_all(out.data(), send, in.data(), receive, 1, 0).wait();
    }
    if (sample >= 0) seconds.push_back((now_seconds() - start) / 2);
  }
  std::sort(seconds.begin(), seconds.end());
  return gather(world, seconds[seconds.size() / 2])[first];
}

// Between rank 0 and the first further rank that `is_partner` accepts; nothing if it accepts none. Collective.
template <class IsPartner>
std::optional<Machine::Link> measure_link(const Comm& world, IsPartner is_partner) {
  int partner = 1;
  while (partner < world.size() && !is_partner(partner)) ++partner;
  if (partner >= world.size()) return std::nullopt;
  const double latency = one_way_seconds(world, 0, partner, 8, latency_samples);
  const double seconds = one_way_seconds(world, 0, partner, message_bytes, message_samples);
  return Machine::Link{latency, static_cast<double>(message_bytes) / seconds};
}

Machine::Rates measure_rates(cpu::Isa isa, int threads) {
  cpu::Stream stream(isa, threads);
  const Peaks peaks = measure_peaks(isa, threads);
  return {peaks.fma, peaks.bf16_dot, peaks.int8_dot, read_bandwidth(stream, clock_for(threads))};
}

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

}  // namespace

Machine measure_machine(const Comm& world, cpu::Isa isa, int threads) {
  Machine m;
  m.cpu = cpu_model(), m.isa = std::string(cpu::name(isa));
  m.measured_utc = utc_now();
  m.moemill_version = build_info::version(), m.git_commit = build_info::git_commit();
  m.threads_per_rank = static_cast<std::uint32_t>(threads);

  // A node is known by its lowest rank.
  const Comm shared = world.split_by_node();
  const std::vector<int> node_of = gather(world, gather(shared, world.rank()).front());
  if (world.rank() == 0) m.core = measure_rates(isa, 1);
  m.core = gather(world, m.core).front();
  world.barrier();
  const std::vector<Machine::Rates> of_ranks = gather(world, measure_rates(isa, threads));
  std::map<int, Machine::Rates> of_nodes;
  std::map<int, std::uint32_t> ranks;
  for (std::size_t r = 0; r < node_of.size(); ++r) {
    for (const Rate& rate : all_rates) of_nodes[node_of[r]].*rate.member += of_ranks[r].*rate.member;
    m.ranks_per_node = std::max(m.ranks_per_node, ++ranks[node_of[r]]);
  }
  m.nodes = static_cast<std::uint32_t>(of_nodes.size());
  m.node = of_nodes.begin()->second;
  for (const auto& [node, rates] : of_nodes) {
    for (const Rate& rate : all_rates) m.node.*rate.member = std::min(m.node.*rate.member, rates.*rate.member);
  }
  const auto node_of_rank = [&](int rank) { return node_of[static_cast<std::size_t>(rank)]; };
  m.within_node = measure_link(world, [&](int rank) { return node_of_rank(rank) == node_of_rank(0); });
  m.between_nodes = measure_link(world, [&](int rank) { return node_of_rank(rank) != node_of_rank(0); });
  return m;
}

namespace {

struct CalibrateOptions : CommonOptions {
  std::string output;  // "": nothing is written
};

std::optional<CalibrateOptions> parse(const std::vector<std::string>& args, const Comm& world) {
  namespace po = boost::program_options;
  CalibrateOptions o;
  po::options_description known = describe_common_options("auto");
  auto option = known.add_options();
  option("output,o", po::value(&o.output)->value_name("FILE"),
         "write the rates to this file as JSON; an earlier file is compared with and replaced");

  const po::variables_map given = parse_words(args, known);
  if (given.count("help")) {
    if (world.rank() == 0)
      print_usage("[mpirun -n R] moemill bench calibrate [options]", known,
                  {"moemill bench calibrate", "mpirun -n 2 moemill bench calibrate -o machine.json"});
    return std::nullopt;
  }
  check_path("--output", o.output);
  take_common_options(o, given, world);
  return o;
}

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

void print_text(const Machine& m, const std::optional<Machine>& earlier) {
  fmt::print("machine: {}, {}, {} x {} ranks x {} threads\n", m.cpu, m.isa, m.nodes, m.ranks_per_node,
             m.threads_per_rank);
  print_rates("one core", m.core, earlier ? &earlier->core : nullptr);
  print_rates("a node's ranks", m.node, earlier ? &earlier->node : nullptr);
  print_link("within a node", m.within_node, earlier ? earlier->within_node : std::nullopt);
  print_link("between nodes", m.between_nodes, earlier ? earlier->between_nodes : std::nullopt);
}

}  // namespace

int run_calibrate(const std::vector<std::string>& args, const Comm& world) {
  const auto options = parse(args, world);
  if (!options) return static_cast<int>(ExitCode::Done);
  std::optional<Machine> earlier;
  run_on_rank_zero(world, [&] {
    if (!options->output.empty() && files::exists(options->output)) earlier = mill::read_machine(options->output);
  });
  const Machine machine = measure_machine(world, options->isa, options->threads);
  run_on_rank_zero(world, [&] {
    if (options->form == Form::Json)
      fmt::print("{}", to_json(machine));
    else
      print_text(machine, earlier);
    if (!options->output.empty()) files::write_atomically(options->output, to_json(machine));
  });
  return static_cast<int>(ExitCode::Done);
}

}  // namespace moemill::bench
