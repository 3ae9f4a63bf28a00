#include "bench/exchange_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "base/build_info.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/numbers/random.hpp"
#include "bench/report.hpp"
#include "bench/steps/bench_nodes.hpp"
#include "layers/cpu/exchange.hpp"

namespace moemill::bench {
namespace {

// Times of one part of the steps, each from the moment when all ranks are ready until the last rank is done.
class SlowestRank {
 public:
  explicit SlowestRank(const Comm& world) : world_(world) {}

  void add(double seconds) {
    const std::vector<double> all = gather(world_, seconds);
    samples_.push_back(*std::max_element(all.begin(), all.end()));
  }
  Timing timing() {
    std::sort(samples_.begin(), samples_.end());
    return {samples_.front(), samples_[samples_.size() / 2]};
  }

 private:
  const Comm& world_;
  std::vector<double> samples_;
};

// Random picks, every expert equally likely.
std::vector<GlobalExpert> draw_picks(const ExchangeOptions& o, std::size_t rows, int rank) {
  std::vector<GlobalExpert> picks;
  std::vector<std::int32_t> ids(o.experts);
  for (std::size_t r = 0; r < rows; ++r) {
    std::iota(ids.begin(), ids.end(), 0);
    for (std::uint32_t p = 0; p < o.picks; ++p) {
      std::uint32_t random = philox(static_cast<std::uint64_t>(rank), r, p)[0];
      std::swap(ids[p], ids[p + random % (o.experts - p)]);
      picks.push_back({ids[p]});
    }
  }
  return picks;
}

std::uint64_t most_of(const Comm& world, std::uint64_t mine) {
  const std::vector<std::uint64_t> all = gather(world, mine);
  return *std::max_element(all.begin(), all.end());
}

std::uint64_t sum_of(const Comm& world, std::uint64_t mine) {
  const std::vector<std::uint64_t> all = gather(world, mine);
  return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
}

void measure_layer(const ExchangeOptions& o, const Comm& world, ExchangeResult& result) {
  cpu::Stream stream(o.isa, o.threads);
  const model::Placement placement({model::contiguous_slices(o.experts, static_cast<std::uint32_t>(world.size()))});
  const std::vector<int> nodes = nodes_of_bench(world, o.nodes);
  layers::DomainSite site =
      layers::checked(layers::join_domain(world, memory_of_bench(world, nodes), nodes,
                                          {o.hidden, o.picks, o.experts, static_cast<std::uint32_t>(result.rows), 1}));
  cpu::Exchange exchange(stream, std::move(site), placement);
  for (std::size_t r = 0; r < result.rows; ++r) std::fill_n(exchange.rows(0).row(r), o.hidden, to_bf16(0.5f));
  const std::vector<GlobalExpert> picks = draw_picks(o, result.rows, world.rank());
  const std::vector<float> weights(picks.size(), 0.25f);
  std::vector<float> out(result.rows * o.hidden);

  SlowestRank dispatch(world), combine(world), whole(world);
  for (std::uint32_t step = 0; step <= o.steps; ++step) {
    world.barrier();
    const double start = now_seconds();
    exchange.begin_dispatch(0, {0}, {picks.data(), result.rows, o.picks}, {weights.data(), result.rows, o.picks});
    exchange.finish_dispatch(0);
    const double received = now_seconds();
    world.barrier();  // where the experts would compute
    const double computed = now_seconds();
    exchange.begin_combine(0);
    exchange.finish_combine(0, {out.data(), result.rows, o.hidden});
    const double end = now_seconds();
    if (step == 0) continue;  // buffers grow in the first step, which is not timed
    dispatch.add(received - start), combine.add(end - computed), whole.add(received - start + end - computed);
  }
  result.dispatch = dispatch.timing(), result.combine = combine.timing(), result.whole = whole.timing();
  const layers::ExchangeTotals t = exchange.totals();
  result.rows_sent = sum_of(world, t.rows_sent) / (o.steps + 1);
  result.rows_deduplicated = sum_of(world, t.rows_deduplicated) / (o.steps + 1);
  result.bytes = most_of(world, (t.intra_node_bytes + t.inter_node_bytes) / (o.steps + 1));
  result.messages = most_of(world, t.messages / (o.steps + 1));
}

// Measures the same bytes in two bare transfers, spread evenly over all ranks but this one, and in a copy.
void measure_bounds(const ExchangeOptions& o, const Comm& world, ExchangeResult& result) {
  const auto ranks = static_cast<std::uint64_t>(world.size());
  const std::uint64_t each = ranks > 1 ? result.bytes / 2 / (ranks - 1) : 0;
  std::vector<std::uint32_t> units(ranks, static_cast<std::uint32_t>(each));
  units[static_cast<std::size_t>(world.rank())] = 0;
  std::vector<std::byte> from(std::max<std::size_t>(result.bytes, 1)), to(from.size());

  SlowestRank transfers(world), copy(world);
  for (std::uint32_t step = 0; step < o.steps; ++step) {
    double seconds = 0;
    for (int way = 0; way < 2; ++way) {
      world.barrier();
      const double start = now_seconds();
      world.start_all_to_all(from.data(), units, to.data(), units, 1, 0).wait();
      seconds += now_seconds() - start;
    }
    transfers.add(seconds);
    const double start = now_seconds();
    std::memcpy(to.data(), from.data(), result.bytes);
    copy.add(now_seconds() - start);
  }
  result.transfers = transfers.timing(), result.copy = copy.timing();
}

std::optional<ExchangeOptions> parse(const std::vector<std::string>& args, const Comm& world) {
  namespace po = boost::program_options;
  ExchangeOptions o;
  std::string rows;
  po::options_description known = describe_common_options("1");
  auto option = known.add_options();
  option("rows", po::value(&rows)->default_value("1,16,64,128,512"), "rows per rank; one measurement for each number");
  option("hidden", po::value(&o.hidden)->default_value(o.hidden), "values per row");
  option("experts", po::value(&o.experts)->default_value(o.experts), "routed experts of all ranks");
  option("picks", po::value(&o.picks)->default_value(o.picks), "experts a row goes to");
  option("steps", po::value(&o.steps)->default_value(o.steps), "timed steps per measurement");
  option("nodes", po::value(&o.nodes)->default_value(o.nodes),
         "as if the ranks were on so many nodes; 0: as they are, where they share memory and send nothing");

  const po::variables_map given = parse_words(args, known);
  if (given.count("help")) {
    if (world.rank() == 0)
      print_usage("mpirun -n R moemill bench exchange [options]", known,
                  {"mpirun -n 2 --bind-to core moemill bench exchange --nodes 2",
                   "mpirun -n 16 moemill bench exchange --hidden 7168 --experts 256 --picks 8"});
    return std::nullopt;
  }
  take_common_options(o, given, world);
  o.rows = parse_counts(rows);
  if (o.hidden < 1 || o.hidden > 65536) user_error("bench: --hidden {}: write 1 to 65536", o.hidden);
  if (o.experts < 1 || o.experts > 65535) user_error("bench: --experts {}: write 1 to 65535", o.experts);
  if (o.picks < 1 || o.picks > o.experts) user_error("bench: --picks {}: write 1 to {}", o.picks, o.experts);
  if (o.steps < 1 || o.steps > 1000000) user_error("bench: --steps {}: write 1 to 1000000", o.steps);

  return o;
}

double rate(std::uint64_t bytes, const Timing& t) { return static_cast<double>(bytes) / t.median * 1e-9; }

void print_table(const ExchangeOptions& o, const Comm& world, const std::vector<ExchangeResult>& results) {
  fmt::print("{}, moemill {}, {} ranks, rows of {} bf16 values, top {} of {} experts\n", cpu_model(),
             build_info::git_commit(), world.size(), o.hidden, o.picks, o.experts);
  fmt::print(
      "Dispatch and combine of one layer; microseconds of the slowest rank, median of {} steps (best); GB/s that the\n"
      "busiest rank sends. transfers: the same bytes by bare transfers; copy: by memcpy; %: their share of the "
      "whole.\n\n",
      o.steps);
  fmt::print("{:>6} {:>9} | {:>8} {:>8} {:>17} {:>6} | {:>9} {:>4} | {:>8} {:>4}\n", "rows", "KB sent", "dispatch",
             "combine", "whole", "GB/s", "transfers", "%", "copy", "%");
  for (const ExchangeResult& r : results)
    fmt::print(
        "{:>6} {:>9.0f} | {:>8.1f} {:>8.1f} {:>8.1f} ({:>6.1f}) {:>6.2f} | {:>9.1f} {:>4.0f} | {:>8.1f} {:>4.0f}\n",
        r.rows, static_cast<double>(r.bytes) * 1e-3, r.dispatch.median * 1e6, r.combine.median * 1e6,
        r.whole.median * 1e6, r.whole.best * 1e6, rate(r.bytes, r.whole), r.transfers.median * 1e6,
        100 * r.transfers.median / r.whole.median, r.copy.median * 1e6, 100 * r.copy.median / r.whole.median);
}

void print_json(const ExchangeOptions& o, const Comm& world, const std::vector<ExchangeResult>& results) {
  nlohmann::ordered_json out{{"benchmark", "exchange"}, {"isa", cpu::name(o.isa)},
                             {"cpu", cpu_model()},      {"commit", build_info::git_commit()},
                             {"ranks", world.size()},   {"hidden", o.hidden},
                             {"experts", o.experts},    {"picks", o.picks},
                             {"steps", o.steps},        {"threads", o.threads},
                             {"nodes", o.nodes}};
  for (const ExchangeResult& r : results)
    out["results"].push_back({{"rows", r.rows},
                              {"rows_sent", r.rows_sent},
                              {"rows_deduplicated", r.rows_deduplicated},
                              {"bytes", r.bytes},
                              {"messages", r.messages},
                              {"dispatch_seconds_median", r.dispatch.median},
                              {"combine_seconds_median", r.combine.median},
                              {"seconds_median", r.whole.median},
                              {"seconds_best", r.whole.best},
                              {"transfers_seconds_median", r.transfers.median},
                              {"copy_seconds_median", r.copy.median}});
  print(out);
}

}  // namespace

std::vector<ExchangeResult> measure_exchange(const ExchangeOptions& options, const Comm& world) {
  std::vector<ExchangeResult> results;
  for (std::size_t rows : options.rows) {
    ExchangeResult result{};
    result.rows = rows;
    measure_layer(options, world, result);
    measure_bounds(options, world, result);
    results.push_back(result);
  }
  return results;
}

int run_exchange_bench(const std::vector<std::string>& args, const Comm& world) {
  const auto options = parse(args, world);
  if (!options) return static_cast<int>(ExitCode::Done);
  const std::vector<ExchangeResult> results = measure_exchange(*options, world);
  if (world.rank() == 0)
    options->form == Form::Json ? print_json(*options, world, results) : print_table(*options, world, results);
  return static_cast<int>(ExitCode::Done);
}

}  // namespace moemill::bench
