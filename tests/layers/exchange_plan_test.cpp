// The plan of a rank's rows without any transport: what goes where, how often, and how outputs are summed at home and
// at the rank that has received rows.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "base/numbers/bf16.hpp"
#include "base/numbers/random.hpp"
#include "layers/dispatch/arrived_sums.hpp"
#include "layers/dispatch/exchange_plan.hpp"
#include "layers/dispatch/records.hpp"
#include "layers/dispatch/table.hpp"
#include "layers/dispatch_support.hpp"

using namespace moemill;
using namespace moemill::layers;
using namespace moemill::test;

TEST_CASE("plan: a row goes to a node once, and its outputs are numbered by node, row and pick") {
  const ExchangeShape shape{.hidden = 4, .picks = 2, .experts = 4, .rows = 3};
  const std::vector<int> apart{0, 1, 2}, machines{0, 1, 1};
  const DomainNodes nodes(apart);
  // Expert 1 is on node 2, experts 0 and 3 are here; expert 2 is on nodes 1 and 2, of which the first turn is node 1's.
  const DispatchTable table(some_twice(), nodes, 0);
  const std::vector<GlobalExpert> picks{{1}, {2}, {0}, {3}, {2}, {3}};
  ExchangePlan plan(shape, 3, 0, machines);
  for (std::uint64_t time = 1; time <= 2; ++time) {
    plan.make(picks, table.places({1}), 0);
    CHECK(list(plan.rows_to()) == Numbers{0, 2, 1});
    CHECK(list(plan.outputs_of()) == Numbers{3, 2, 1});
    CHECK(list(plan.first_output()) == Numbers{0, 3, 5});
    const auto of_pick = plan.output_of_pick();
    CHECK(Numbers(of_pick.data, of_pick.data + 6) == Numbers{5, 3, 0, 1, 4, 2});
    Numbers own;
    plan.for_each_own_pair([&](std::uint32_t row, std::uint32_t slot, std::uint32_t output) {
      own.insert(own.end(), {row, slot, output});
    });
    CHECK(own == Numbers{1, 0, 0, 1, 1, 1, 2, 1, 2});

    const RecordForm form(shape.hidden, shape.picks);
    REQUIRE(form.bytes() == 16);
    alignas(16) std::byte records[3 * 16] = {};
    CHECK(list(plan.write_picks(form, {}, records)) == Numbers{0, 2, 0});  // rows 0 and 2 to node 1, row 0 to node 2
    for (const auto& [record, slot] : {std::pair(0, 0), std::pair(1, 0), std::pair(2, 0)}) {
      const std::byte* const sent = records + record * 16;
      CHECK(form.picks(sent) == 1);
      CHECK(form.pick(sent, 0).slot == static_cast<std::uint32_t>(slot));
    }
    const PlanTotals& totals = plan.totals();
    CHECK(totals.rows == time * 3);
    CHECK(totals.rows_sent == time * 3);
    CHECK(totals.rows_deduplicated == 0);
    CHECK(totals.row_nodes == time * 4);  // rows 0 and 1 stay on one machine, of which row 0 is on the other one
    // Machine 1 gets rows 0 and 2 once each, and returns three outputs.
    CHECK(totals.inter_node_minimum == time * (2 * 16 + 3 * 8));
    plan.make({}, table.places({1}), 0);
    CHECK(list(plan.rows_to()) == Numbers{0, 0, 0});
  }
}

TEST_CASE("plan: of DeepSeek-V3's experts on eight nodes a row needs those of its groups") {
  constexpr std::uint32_t experts = 256, groups = 8, kept = 4, rows = 64;
  std::vector<int> memory(16);
  for (std::size_t r = 0; r < memory.size(); ++r) memory[r] = static_cast<int>(r / 2);
  const DomainNodes nodes(memory);
  const DispatchTable table(model::Placement({model::contiguous_slices(experts, 16)}), nodes, 3);
  const ExchangeShape shape{.hidden = 7168, .picks = 8, .experts = experts, .rows = rows};
  std::vector<GlobalExpert> picks;
  std::uint64_t row_nodes = 0, minimum = 0;
  const std::uint64_t record = RecordForm(shape.hidden, shape.picks).bytes();
  for (std::uint32_t r = 0; r < rows; ++r) {
    const std::uint32_t first = philox(1, r)[0] % groups;
    std::vector<bool> seen(groups);
    for (std::uint32_t p = 0; p < shape.picks; ++p) {
      const std::uint32_t group = (first + philox(2, r, p)[0] % kept) % groups;
      picks.push_back({static_cast<std::int32_t>(group * 32 + (philox(3, r)[0] + p) % 32)});
      minimum += group == 3 ? 0 : 7168 * 2 + (seen[group] ? 0 : record);
      row_nodes += seen[group] ? 0 : 1;
      seen[group] = true;
    }
  }
  const std::vector<int> machines{0, 1, 2, 3, 4, 5, 6, 7};
  ExchangePlan plan(shape, 8, 3, machines);
  plan.make(picks, table.places({0}), 3);
  CHECK(plan.totals().row_nodes == row_nodes);
  CHECK(plan.totals().row_nodes <= rows * kept);
  CHECK(plan.totals().inter_node_minimum == minimum);
  const auto to = plan.rows_to(), of = plan.outputs_of();
  std::uint64_t sent = 0;
  for (std::size_t n = 0; n < 8; ++n) sent += to[n] * record + (n == 3 ? 0 : of[n] * 7168ull * 2);
  CHECK(sent == minimum);
}

TEST_CASE("plan by groups: a group that another node computes whole comes home as one row") {
  // Groups {0, 1, 2} and {3, 4, 5}; node 1 holds experts 3 to 5, node 2 experts 1 and 2, this node expert 0.
  const ExchangeShape shape{.hidden = 4, .picks = 4, .experts = 6, .rows = 2, .sum_groups = 2};
  const std::vector<SlotPlace> places{{0, 0}, {2, 0}, {2, 1}, {1, 0}, {1, 1}, {1, 2}};
  const std::vector<GlobalExpert> picks{{5}, {1}, {3}, {2},   // both groups are whole
                                        {0}, {4}, {1}, {2}};  // the first group is split, the second has one pick
  const std::vector<float> weights{1, 2, 3, 4, 5, 6, 7, 8};
  const Rows<const float> weight_rows(weights.data(), 2, 4);
  ExchangePlan plan(shape, 3, 0, std::vector<int>{0, 1, 2});
  const Numbers begin{0, 1, 2, 3, 4, 5, 6}, until(6, ~0u);
  plan.make(picks, {begin, places, until}, 0);
  CHECK(list(plan.rows_to()) == Numbers{0, 2, 2});
  CHECK(list(plan.outputs_of()) == Numbers{1, 2, 3});
  CHECK(list(plan.first_output()) == Numbers{0, 1, 3});
  Numbers own;
  plan.for_each_own_pair([&](std::uint32_t row, std::uint32_t slot, std::uint32_t output) {
    own.insert(own.end(), {row, slot, output});
  });
  CHECK(own == Numbers{1, 0, 0});

  // Row 0: the sums of node 2 and node 1. Row 1: picks 0, 1 and 2 of the first group, the one of the second.
  const GroupTerms terms = plan.group_terms(weight_rows);
  CHECK(Numbers(terms.row_of.row(0), terms.row_of.row(0) + 2) == Numbers{3, 1});
  CHECK(std::vector<float>(terms.weights.row(0), terms.weights.row(0) + 2) == std::vector<float>{1, 1});
  CHECK(Numbers(terms.ends.row(0), terms.ends.row(0) + 3) == Numbers{1, 2, 0});
  CHECK(Numbers(terms.row_of.row(1), terms.row_of.row(1) + 4) == Numbers{0, 4, 5, 2});
  CHECK(std::vector<float>(terms.weights.row(1), terms.weights.row(1) + 4) == std::vector<float>{5, 7, 8, 6});
  CHECK(Numbers(terms.ends.row(1), terms.ends.row(1) + 3) == Numbers{3, 4, 0});

  // What node 2 gets: row 0 with experts 1 and 2 to be summed, row 1 with both, each to come home alone.
  const RecordForm form(shape.hidden, shape.picks, shape.sum());
  std::vector<std::byte> records(4 * form.bytes());
  CHECK(list(plan.write_picks(form, weight_rows, records.data())) == Numbers{0, 1, 0, 1});
  ArrivedSums arrived;
  CHECK(arrived.take(form, records.data() + 2 * form.bytes(), 2, 100) == 3);
  CHECK(arrived.output_of_pick() == Numbers{100, 103, 101, 102});
  REQUIRE(arrived.count() == 1);
  const GroupSums sums = arrived.sums();
  CHECK(list(sums.begin) == Numbers{0, 2});
  CHECK(list(sums.row_of) == Numbers{100, 103});
  CHECK(std::vector<float>(sums.weights.data, sums.weights.data + 2) == std::vector<float>{2, 4});
  // Four records and five outputs, one of which was made here.
  CHECK(plan.totals().inter_node_minimum == 4 * form.bytes() + 5 * 4 * sizeof(bf16));
  CHECK(plan.totals().rows_deduplicated == 3);
}

TEST_CASE("plan by groups: of DeepSeek-V3 on eight nodes half of the rows travel that did one by one") {
  constexpr std::uint32_t experts = 256, groups = 8, kept = 4, rows = 2000, k = 8, ranks = 64;
  std::vector<int> memory(ranks);
  for (std::uint32_t r = 0; r < ranks; ++r) memory[r] = static_cast<int>(r / 8);
  const DomainNodes nodes(memory);
  const std::vector<int> machines{0, 1, 2, 3, 4, 5, 6, 7};
  const DispatchTable table(model::Placement({model::contiguous_slices(experts, ranks)}), nodes, 3);
  // 8 experts of 4 groups, all equally likely.
  std::vector<GlobalExpert> picks;
  const auto draw = [](std::vector<std::uint32_t>& from, std::size_t at, std::uint32_t random) {
    std::swap(from[at], from[at + random % (from.size() - at)]);
  };
  for (std::uint32_t r = 0; r < rows; ++r) {
    Numbers all(groups), some;
    std::iota(all.begin(), all.end(), 0);
    for (std::uint32_t g = 0; g < kept; ++g) {
      draw(all, g, philox(11, r, g)[0]);
      for (std::uint32_t e = 0; e < experts / groups; ++e) some.push_back(all[g] * (experts / groups) + e);
    }
    for (std::uint32_t p = 0; p < k; ++p) {
      draw(some, p, philox(12, r, p)[0]);
      picks.push_back({static_cast<std::int32_t>(some[p])});
    }
  }
  // Counted without the plan: a row to each other rank, as before ranks of a node shared rows, or to each other node;
  // an output a pick, or one a group. Four experts are a rank's, a group is a node's.
  double to_ranks = 0, to_nodes = 0, by_pick = 0;
  for (std::uint32_t r = 0; r < rows; ++r) {
    std::vector<bool> rank_seen(ranks), node_seen(groups);
    for (std::uint32_t p = 0; p < k; ++p) {
      const auto e = static_cast<std::uint32_t>(picks[r * k + p].value);
      if (e / 32 == 3) continue;
      by_pick += 1;
      to_ranks += rank_seen[e / 4] ? 0 : 1, rank_seen[e / 4] = true;
      to_nodes += node_seen[e / 32] ? 0 : 1, node_seen[e / 32] = true;
    }
  }
  for (const std::uint32_t sum_groups : {0u, groups}) {
    const ExchangeShape shape{.hidden = 7168, .picks = k, .experts = experts, .rows = rows, .sum_groups = sum_groups};
    ExchangePlan plan(shape, 8, 3, machines);
    plan.make(picks, table.places({0}), 3);
    double sent = 0, returned = 0;
    for (std::size_t n = 0; n < 8; ++n) {
      sent += plan.rows_to()[n];
      if (n != 3) returned += plan.outputs_of()[n];
    }
    CHECK(sent == to_nodes);
    CHECK(returned == (sum_groups == 0 ? by_pick : to_nodes));
    const double record = static_cast<double>(RecordForm(shape.hidden, k, shape.sum()).bytes());
    CHECK(sent * record + returned * 2 * 7168 == static_cast<double>(plan.totals().inter_node_minimum));
    MESSAGE("rows between nodes, a token and layer: ", (sent + returned) / rows,
            ", sent to each rank, an output a pick: ", (to_ranks + by_pick) / rows, ", ratio ",
            (sent + returned) / (to_ranks + by_pick));
    if (sum_groups > 0) CHECK(sent + returned <= 0.52 * (to_ranks + by_pick));
  }
}

TEST_CASE("plan: copies of an expert compute their parts of its picks, the own node's first") {
  // Nodes of 2, 1 and 1 ranks. Expert 0 lies on all of them, expert 1 on the last two, expert 2 on the first alone.
  using Slots = std::vector<std::vector<GlobalExpert>>;
  using Shares = std::vector<std::vector<double>>;
  const model::LayerPlacement layer(3, Slots{{{0}}, {{2}}, {{0}, {1}}, {{1}, {0}}},
                                    Shares{{0.1}, {1}, {0.6, 0.25}, {0.75, 0.3}});
  const model::Placement placement({layer});
  const DomainNodes nodes(std::vector<int>{0, 0, 1, 2});
  const ExchangeShape shape{.hidden = 4, .picks = 3, .experts = 3};
  constexpr std::uint32_t rows = 1000;
  std::vector<GlobalExpert> picks;
  for (std::uint32_t r = 0; r < rows; ++r) picks.insert(picks.end(), {{0}, {1}, {2}});
  std::map<std::uint32_t, std::map<std::uint32_t, std::uint32_t>> computed;  // by expert and node
  for (std::uint32_t rank = 0; rank < 4; ++rank) {
    const std::uint32_t home = nodes.node_of(static_cast<int>(rank));
    const DispatchTable table(placement, nodes, home);
    ExchangePlan plan(shape, 3, home, std::vector<int>{0, 1, 2});
    plan.make(picks, table.places({0}), rank);
    const std::vector<SlotPlace> first(plan.place_of_pick().begin(), plan.place_of_pick().end());
    std::map<std::uint32_t, std::uint32_t> of_first;  // of expert 0
    for (std::size_t p = 0; p < first.size(); ++p) {
      ++computed[static_cast<std::uint32_t>(picks[p].value)][first[p].node];
      if (picks[p].value == 0) ++of_first[first[p].node];
    }
    // A quarter of all rows are node 1's, which may compute 0.6 of their picks of expert 0: all of its own.
    if (home == 1) CHECK(of_first == std::map<std::uint32_t, std::uint32_t>{{1, rows}});
    if (home == 0) CHECK(of_first[0] == doctest::Approx(0.2 * rows).epsilon(0.02));
    plan.make(picks, table.places({0}), rank);  // the same again
    CHECK(std::vector<SlotPlace>(plan.place_of_pick().begin(), plan.place_of_pick().end()) == first);
  }
  CHECK(computed[0][0] == doctest::Approx(0.1 * 4 * rows).epsilon(0.02));
  CHECK(computed[0][1] == doctest::Approx(0.6 * 4 * rows).epsilon(0.02));
  CHECK(computed[0][2] == doctest::Approx(0.3 * 4 * rows).epsilon(0.02));
  CHECK(computed[1][1] == doctest::Approx(0.25 * 4 * rows).epsilon(0.02));
  CHECK(computed[1][2] == doctest::Approx(0.75 * 4 * rows).epsilon(0.02));
  CHECK(computed[2][0] == 4 * rows);
}
