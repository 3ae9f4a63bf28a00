#include "bench/machine_rates.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "base/build_info.hpp"
#include "base/clock.hpp"
#include "bench/peak/peak.hpp"
#include "plan/ranks.hpp"

namespace moemill::bench {
namespace {

using mill::Machine;

// The last one measures bandwidth: far beyond any library's eager limit.
constexpr std::size_t message_bytes[] = {std::size_t{1} << 10, std::size_t{32} << 10, std::size_t{1} << 20,
                                         std::size_t{16} << 20};
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

// The first rank after rank 0 that `is_partner` accepts; nothing if it accepts none.
template <class IsPartner>
std::optional<int> partner_of_rank_0(const Comm& world, IsPartner is_partner) {
  for (int rank = 1; rank < world.size(); ++rank)
    if (is_partner(rank)) return rank;
  return std::nullopt;
}

// Collective.
void measure_link(const Comm& world, int partner, std::optional<Machine::Link>& link,
                  std::optional<calibration::Curve>& messages) {
  const double latency = one_way_seconds(world, 0, partner, 8, latency_samples);
  std::vector<calibration::Curve::Point> points;
  for (const std::size_t bytes : message_bytes)
    points.push_back({static_cast<double>(bytes), one_way_seconds(world, 0, partner, bytes, message_samples)});
  link = Machine::Link{latency, points.back().size / points.back().seconds};
  messages = calibration::Curve(std::move(points));
}

Machine::Rates measure_rates(cpu::Isa isa, int threads) {
  cpu::Stream stream(isa, threads);
  const Peaks peaks = measure_peaks(isa, threads);
  return {peaks.fma, peaks.bf16_dot, peaks.int8_dot, read_bandwidth(stream, clock_for(threads))};
}

constexpr double Machine::Rates::*all_rates[] = {&Machine::Rates::fma_flops, &Machine::Rates::bf16_dot_flops,
                                                 &Machine::Rates::int8_dot_ops, &Machine::Rates::read_bytes_per_second};

// The rates of the ranks of each node together, the slowest node's of each.
Machine::Rates slowest_node(std::span<const int> node_of, std::span<const Machine::Rates> of_ranks) {
  std::map<int, Machine::Rates> of_nodes;
  for (std::size_t r = 0; r < node_of.size(); ++r)
    for (const auto rate : all_rates) of_nodes[node_of[r]].*rate += of_ranks[r].*rate;
  Machine::Rates slowest = of_nodes.begin()->second;
  for (const auto& [node, rates] : of_nodes)
    for (const auto rate : all_rates) slowest.*rate = std::min(slowest.*rate, rates.*rate);
  return slowest;
}

}  // namespace

MachineRates measure_machine(const Comm& world, cpu::Isa isa, int threads) {
  MachineRates out;
  Machine& m = out.machine;
  m.cpu = cpu_model(), m.isa = std::string(cpu::name(isa));
  m.measured_utc = utc_now();
  m.moemill_version = build_info::version(), m.git_commit = build_info::git_commit();
  m.threads_per_rank = static_cast<std::uint32_t>(threads);

  const std::vector<int> node_of = mill::machines_of_world(world, world.split_by_node());
  if (world.rank() == 0) m.core = measure_rates(isa, 1);
  m.core = gather(world, m.core).front();
  world.barrier();
  m.node = slowest_node(node_of, gather(world, measure_rates(isa, threads)));
  std::map<int, std::uint32_t> ranks;
  for (const int node : node_of) m.ranks_per_node = std::max(m.ranks_per_node, ++ranks[node]);
  m.nodes = static_cast<std::uint32_t>(ranks.size());
  const auto is_near = [&](int rank) { return node_of[static_cast<std::size_t>(rank)] == node_of[0]; };
  if (const auto near = partner_of_rank_0(world, is_near))
    measure_link(world, *near, m.within_node, out.messages.within_node);
  if (const auto far = partner_of_rank_0(world, [&](int rank) { return !is_near(rank); }))
    measure_link(world, *far, m.between_nodes, out.messages.between_nodes);
  return out;
}

}  // namespace moemill::bench
