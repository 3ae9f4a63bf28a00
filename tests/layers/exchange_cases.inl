// The test bodies of the exchange, run on loopback (exchange_test.cpp) and on MPI (exchange_mpi_test.cpp). Every rank
// makes all ranks' rows and picks from one seed, so it knows what it must receive and which outputs must come back.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "base/numbers/random.hpp"
#include "layers/dispatch/exchange_plan.hpp"
#include "layers/dispatch/node_split.hpp"
#include "layers/dispatch/table.hpp"
#include "layers/on_cpu.hpp"
#include "support/placements.hpp"

namespace moemill::test {

struct ExchangeCase {
  std::uint32_t experts, picks, hidden;
  std::uint32_t most_rows;   // of one rank and dispatch
  std::uint32_t groups = 0;  // by which outputs are summed
};

// What one rank dispatches in one round.
struct Batch {
  std::uint32_t count = 0;
  std::vector<bf16> rows;           // [count, hidden]
  std::vector<GlobalExpert> picks;  // [count, picks]
  std::vector<float> weights;       // [count, picks]
  std::vector<int> computed;        // [count, picks] the first rank of the node that computes the pick
};

inline std::uint32_t draw(int round, int rank, std::uint64_t what) {
  return philox(static_cast<std::uint64_t>(round) << 8 | static_cast<std::uint64_t>(rank), what)[0];
}

// A third of the batches are empty; in every seventh round all are.
inline Batch make_batch(const ExchangeCase& shape, int round, int rank) {
  Batch b;
  bool empty = round % 7 == 6 || draw(round, rank, 0) % 3 == 0;
  b.count = empty ? 0 : draw(round, rank, 1) % (shape.most_rows + 1);
  for (std::uint32_t r = 0; r < b.count; ++r) {
    for (std::uint32_t i = 0; i < shape.hidden; ++i)
      b.rows.push_back({static_cast<std::uint16_t>(0x3f00 + draw(round, rank, 1000 + r * shape.hidden + i) % 0x100)});
    std::vector<std::int32_t> ids(shape.experts);
    for (std::uint32_t e = 0; e < shape.experts; ++e) ids[e] = static_cast<std::int32_t>(e);
    for (std::uint32_t p = 0; p < shape.picks; ++p) {
      std::uint32_t other = p + draw(round, rank, 1u << 30 | (r * shape.picks + p)) % (shape.experts - p);
      std::swap(ids[p], ids[other]);
      b.picks.push_back({ids[p]});
      b.weights.push_back(static_cast<float>(draw(round, rank, 1u << 31 | (r * shape.picks + p)) % 1000) / 999.0f);
    }
  }
  return b;
}

// A stand-in for an expert's work, different for every expert and element.
inline bf16 expert_output(bf16 x, GlobalExpert expert, std::uint32_t i) {
  return to_bf16(to_float(x) * static_cast<float>(expert.value + 1) + static_cast<float>(i % 5));
}

// [ranks] so many of them on each node, fewer on the last.
inline std::vector<int> in_groups(int ranks, int of) {
  std::vector<int> groups;
  for (int r = 0; r < ranks; ++r) groups.push_back(r / of);
  return groups;
}

// How many ranks share memory, and how many lie on a machine, by which bytes are counted.
struct Together {
  int memory, machine;
};

// One rank of a domain that goes through rounds, on two channels.
template <class On>
class ExchangeTester {
 public:
  ExchangeTester(Comm comm, const ExchangeCase& shape, Spread spread, Together together)
      : comm_(comm),
        shape_(shape),
        placement_({layer_placement_for(shape.experts, static_cast<std::uint32_t>(comm.size()), spread)}),
        memory_(in_groups(comm.size(), together.memory)),
        machine_(in_groups(comm.size(), together.machine)),
        exchange_(stream_,
                  layers::join_domain(comm, memory_, machine_,
                                      {.hidden = shape.hidden,
                                       .picks = shape.picks,
                                       .experts = shape.experts,
                                       .rows = shape.most_rows,
                                       .channels = 2,
                                       .sum_groups = shape.groups}),
                  placement_) {}

  void send(int channel, int round) {
    auto& all = all_[static_cast<std::size_t>(channel)];
    all.clear();
    for (int r = 0; r < comm_.size(); ++r) {
      all.push_back(make_batch(shape_, round, r));
      find_places(all.back(), r);
    }
    const Batch& mine = all[static_cast<std::size_t>(comm_.rank())];
    const Rows<bf16> places = exchange_.rows(channel);
    REQUIRE(places.rows >= mine.count);
    for (std::uint32_t r = 0; r < mine.count; ++r)
      std::copy_n(mine.rows.data() + std::size_t{r} * shape_.hidden, shape_.hidden, places.row(r));
    exchange_.begin_dispatch(channel, {0}, {mine.picks.data(), mine.count, shape_.picks},
                             {mine.weights.data(), mine.count, shape_.picks});
    expect_sent(mine);
  }

  void compute(int channel) {
    const auto received = exchange_.finish_dispatch(channel);
    const std::vector<GlobalExpert> slots = experts_of_node(node_of(comm_.rank()));
    REQUIRE(received.expert_begin.size == slots.size() + 1);
    REQUIRE(received.expert_begin.data[slots.size()] == received.row.size);
    for (std::size_t s = 0; s < slots.size(); ++s)
      for (std::size_t p = received.expert_begin.data[s]; p < received.expert_begin.data[s + 1]; ++p)
        for (std::uint32_t i = 0; i < shape_.hidden; ++i)
          received.outputs.row(received.place.data[p])[i] =
              expert_output(received.rows.row(received.row.data[p])[i], slots[s], i);
    expected_.pairs += received.row.size;
    for (std::size_t s = 0; s < slots.size(); ++s)
      expected_.experts_touched += received.expert_begin.data[s + 1] > received.expert_begin.data[s] ? 1 : 0;
    check_shares(received, all_[static_cast<std::size_t>(channel)]);
    exchange_.begin_combine(channel);
    expect_returned(all_[static_cast<std::size_t>(channel)]);
  }

  // Each output is there and right, whoever has made it.
  void come_home(int channel) {
    const Batch& mine = all_[static_cast<std::size_t>(channel)][static_cast<std::size_t>(comm_.rank())];
    std::size_t stride = shape_.hidden + 3;
    std::vector<float> out(mine.count * stride, 0.25f), expected = out;
    exchange_.finish_combine(channel, {out.data(), mine.count, shape_.hidden, stride});
    for (std::uint32_t r = 0; r < mine.count; ++r)
      for (std::uint32_t i = 0; i < shape_.hidden; ++i) add_outputs(mine, r, i, expected[r * stride + i]);
    CHECK(out == expected);
  }

  void progress() { exchange_.progress(); }

  void check_totals() const {
    const layers::ExchangeTotals t = exchange_.totals();
    CHECK(t.rows_sent == expected_.rows_sent);
    CHECK(t.rows_deduplicated == expected_.rows_deduplicated);
    CHECK(t.intra_node_bytes == expected_.intra_node_bytes);
    CHECK(t.inter_node_bytes == expected_.inter_node_bytes);
    CHECK(t.inter_node_minimum == expected_.inter_node_minimum);
    CHECK(t.messages == expected_.messages);
    CHECK(t.rows_routed == expected_.rows_routed);
    CHECK(t.row_nodes == expected_.row_nodes);
    CHECK(t.pairs == expected_.pairs);
    CHECK(t.experts_touched == expected_.experts_touched);
    CHECK(t.seconds == t.pack_seconds + t.wait_seconds);
    // Where all ranks of a machine share memory, a row crosses to another one once.
    std::uint64_t sent = 0, least = 0;
    for (const layers::ExchangeTotals& rank : gather(comm_, t))
      sent += rank.inter_node_bytes, least += rank.inter_node_minimum;
    if (memory_ == machine_) CHECK(sent == least);
    CHECK(sent >= least);
    if (memory_ == machine_ && memory_.back() == 0) CHECK(t.messages + t.intra_node_bytes + t.inter_node_bytes == 0);
  }

 private:
  // The definition of the sum: picks in their order, or in each group, whose sum is rounded.
  void add_outputs(const Batch& mine, std::uint32_t r, std::uint32_t i, float& sum) const {
    const auto add = [&](std::uint32_t p, float& to, bool is_first) {
      const std::size_t pick = std::size_t{r} * shape_.picks + p;
      const float y = to_float(expert_output(mine.rows[std::size_t{r} * shape_.hidden + i], mine.picks[pick], i));
      to = is_first ? mine.weights[pick] * y : std::fma(mine.weights[pick], y, to);
    };
    if (shape_.groups == 0)
      for (std::uint32_t p = 0; p < shape_.picks; ++p) add(p, sum, false);
    for (std::uint32_t g = 0; g < shape_.groups; ++g) {
      float of_group = 0;
      bool is_first = true;
      for (std::uint32_t p = 0; p < shape_.picks; ++p)
        if (group_of(mine.picks[r * shape_.picks + p]) == g) add(p, of_group, std::exchange(is_first, false));
      if (!is_first) sum += to_float(to_bf16(of_group));
    }
  }
  std::uint32_t group_of(GlobalExpert expert) const {
    return static_cast<std::uint32_t>(expert.value) / (shape_.experts / shape_.groups);
  }
  // Outputs that come home from `place` (a node or a machine) if `place_of` says where each pick is computed: one a
  // pick, but one for a group that is computed there as a whole.
  template <class PlaceOf>
  std::uint64_t outputs_from(int place, const Batch& batch, std::uint32_t r, const PlaceOf& place_of) const {
    std::map<std::uint32_t, std::pair<std::uint64_t, bool>> of_group;  // outputs there, and whether there are others
    std::uint64_t outputs = 0;
    for (std::uint32_t p = 0; p < shape_.picks; ++p) {
      const GlobalExpert e = batch.picks[r * shape_.picks + p];
      const bool there = place_of(r * shape_.picks + p) == place;
      if (shape_.groups == 0)
        outputs += there;
      else if (auto& [count, split] = of_group[group_of(e)]; there)
        ++count;
      else
        split = true;
    }
    for (const auto& [group, found] : of_group)
      outputs += found.second ? found.first : std::min<std::uint64_t>(found.first, 1);
    return outputs;
  }
  int node_of(int rank) const { return memory_[static_cast<std::size_t>(rank)]; }
  int machine_of(int rank) const { return machine_[static_cast<std::size_t>(rank)]; }
  bool holds(int rank, GlobalExpert expert) const {
    const auto slots = placement_.layer({0}).slots({rank});
    return std::find(slots.begin(), slots.end(), expert) != slots.end();
  }
  std::vector<GlobalExpert> experts_of_node(int node) const {
    std::vector<GlobalExpert> experts;
    for (std::int32_t e = 0; e < static_cast<std::int32_t>(shape_.experts); ++e)
      for (int r = 0; r < comm_.size(); ++r)
        if (node_of(r) == node && holds(r, {e}) && (experts.empty() || experts.back().value != e))
          experts.push_back({e});
    return experts;
  }
  // Where picks of an expert with several holders go is the plan's to say (exchange_plan_test.cpp); here it must be a
  // node that holds it.
  void find_places(Batch& batch, int source) const {
    const layers::DomainNodes nodes(memory_);
    const std::uint32_t home = nodes.node_of(source);
    const layers::DispatchTable table(placement_, nodes, home);
    const std::vector<int> machines(nodes.nodes());
    layers::ExchangePlan plan({.hidden = shape_.hidden, .picks = shape_.picks, .experts = shape_.experts},
                              nodes.nodes(), home, machines);
    plan.make(batch.picks, table.places({0}), static_cast<std::uint32_t>(source));
    for (std::size_t p = 0; p < batch.picks.size(); ++p) {
      const int there = nodes.ranks_of(plan.place_of_pick()[p].node).front();
      const std::vector<GlobalExpert> held = experts_of_node(node_of(there));
      REQUIRE(std::find(held.begin(), held.end(), batch.picks[p]) != held.end());
      batch.computed.push_back(there);
    }
  }
  // Number i of one node sends to number i of another, counted round.
  int receiver(int source, int node) const {
    int place = 0;
    std::vector<int> there;
    for (int r = 0; r < comm_.size(); ++r) {
      if (r < source && node_of(r) == node_of(source)) ++place;
      if (node_of(r) == node) there.push_back(r);
    }
    return there[static_cast<std::size_t>(place) % there.size()];
  }
  std::uint64_t& bytes_to(int rank) {
    return machine_of(rank) == machine_of(comm_.rank()) ? expected_.intra_node_bytes : expected_.inter_node_bytes;
  }
  // A record is the row, a count and k slots of 2 bytes each and, at the next multiple of 4, k weights if sums are by
  // groups, rounded up to 16 bytes.
  std::uint64_t record_bytes() const {
    const std::uint64_t tags = shape_.hidden * 2 + (1 + shape_.picks) * 2;
    return ((shape_.groups == 0 ? tags : (tags + 3) / 4 * 4 + shape_.picks * 4) + 15) / 16 * 16;
  }

  void expect_sent(const Batch& mine) {
    const int me = comm_.rank();
    for (std::uint32_t r = 0; r < mine.count; ++r) {
      std::map<int, std::uint64_t> picks_at, picks_on;  // by node and by machine
      for (std::uint32_t p = 0; p < shape_.picks; ++p) {
        const int rank = mine.computed[r * shape_.picks + p];
        ++picks_at[node_of(rank)], ++picks_on[machine_of(rank)];
      }
      ++expected_.rows_routed;
      expected_.row_nodes += picks_on.size();
      picks_at.erase(node_of(me)), picks_on.erase(machine_of(me));
      for (auto [node, picks] : picks_at) {
        ++expected_.rows_sent;
        expected_.rows_deduplicated += picks - 1;
        bytes_to(receiver(me, node)) += record_bytes();
      }
      for (auto [machine, picks] : picks_on) {
        const std::uint64_t outputs =
            outputs_from(machine, mine, r, [&](std::size_t pick) { return machine_of(mine.computed[pick]); });
        expected_.inter_node_minimum += record_bytes() + outputs * shape_.hidden * 2;
      }
    }
    expected_.messages += static_cast<std::uint64_t>(memory_.back());  // to each other node, whatever there is
  }
  void expect_returned(const std::vector<Batch>& all) {
    for (int r = 0; r < comm_.size(); ++r) {
      if (node_of(r) == node_of(comm_.rank()) || receiver(r, node_of(comm_.rank())) != comm_.rank()) continue;
      ++expected_.messages;
      const Batch& batch = all[static_cast<std::size_t>(r)];
      for (std::uint32_t row = 0; row < batch.count; ++row)
        bytes_to(r) += shape_.hidden * 2 * outputs_from(node_of(comm_.rank()), batch, row, [&](std::size_t pick) {
                         return node_of(batch.computed[pick]);
                       });
    }
  }

  // Together the shares of a node's ranks are all its pairs, and none of them has much more than the others.
  void check_shares(const layers::ReceivedRows<>& received, const std::vector<Batch>& all) const {
    struct Share {
      std::uint64_t pairs = 0, cost = 0;
    } mine;
    mine.pairs = received.row.size;
    for (std::size_t s = 0; s + 1 < received.expert_begin.size; ++s)
      mine.cost += layers::expert_cost(received.expert_begin.data[s + 1] - received.expert_begin.data[s]);
    std::uint64_t pairs = 0, expected = 0, cost = 0, ranks = 0;
    const std::vector<Share> shares = gather(comm_, mine);
    for (int r = 0; r < comm_.size(); ++r) {
      for (const int there : all[static_cast<std::size_t>(r)].computed)
        expected += node_of(there) == node_of(comm_.rank());
      if (node_of(r) != node_of(comm_.rank())) continue;
      pairs += shares[static_cast<std::size_t>(r)].pairs, cost += shares[static_cast<std::size_t>(r)].cost, ++ranks;
    }
    CHECK(pairs == expected);
    CHECK(mine.cost <= cost / ranks + 2 * layers::least_piece_rows);
  }

  typename On::Backend::Stream stream_ = On::stream();
  Comm comm_;
  ExchangeCase shape_;
  model::Placement placement_;
  std::vector<int> memory_, machine_;
  typename On::Backend::Exchange exchange_;
  std::array<std::vector<Batch>, 2> all_;  // by channel: every rank's batch
  layers::ExchangeTotals expected_;
};

// One layer after the other on one channel.
template <class On>
void check_rounds(Comm comm, const ExchangeCase& shape, Spread spread, Together together) {
  ExchangeTester<On> tester(comm, shape, spread, together);
  for (int round = 0; round < 15; ++round) {
    tester.send(0, round);
    tester.compute(0);
    tester.come_home(0);
  }
  tester.check_totals();
}

// Two micro-batches in the block's order, each travelling while the other computes, with progress called in between by
// some ranks and not by others.
template <class On>
void check_overlap(Comm comm, const ExchangeCase& shape, Spread spread, Together together) {
  ExchangeTester<On> tester(comm, shape, spread, together);
  auto maybe_progress = [&](int step) {
    for (int i = 0; i < (step * 7 + comm.rank() * 3) % 4; ++i) tester.progress();
  };
  tester.send(0, 100);
  for (int round = 100; round < 115; ++round) {
    tester.send(1, 1000 + round);
    maybe_progress(round);
    tester.compute(0);
    maybe_progress(round + 1);
    tester.compute(1);
    maybe_progress(round + 2);
    tester.come_home(0);
    if (round + 1 < 115) tester.send(0, round + 1);
    tester.come_home(1);
  }
  tester.check_totals();
}

inline const std::vector<ExchangeCase>& exchange_cases() {
  static const std::vector<ExchangeCase> cases{
      {8, 2, 16, 20},      // even
      {7, 3, 24, 33},      // experts do not divide
      {3, 2, 40, 9},       // fewer experts than ranks
      {1, 1, 8, 5},        // one expert for all
      {32, 8, 100, 70},    // many picks, several on one rank
      {5, 5, 17, 12},      // every expert, odd row length
      {8, 4, 37, 11, 2},   // by groups: two halves of the experts
      {24, 6, 40, 40, 8},  // several groups on a rank, and groups on several
  };
  return cases;
}

// Ranks that share nothing, all of a machine's or all of the domain's; the last node may have fewer.
inline std::vector<Together> ways_to_share(int ranks) {
  std::vector<Together> ways{{1, 1}};
  if (ranks > 1) ways.push_back({1, 2}), ways.push_back({ranks, ranks});
  if (ranks > 2) ways.push_back({2, 2});
  if (ranks > 3) ways.push_back({3, 3});
  return ways;
}

template <class On>
void check_exchange(Comm comm) {
  for (const Together& together : ways_to_share(comm.size())) {
    CAPTURE(together.memory);
    for (const ExchangeCase& shape : exchange_cases()) {
      CAPTURE(shape.experts);
      for (Spread spread : {Spread::Slices, Spread::Shuffled, Spread::SomeTwice}) {
        check_rounds<On>(comm, shape, spread, together);
        check_overlap<On>(comm, shape, spread, together);
      }
    }
  }
}

}  // namespace moemill::test
