// The pieces of the dispatch without any transport: nodes, the table, records, lists of pairs, the split of a node's
// work, and where everything lies. exchange_plan_test.cpp has the plan.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.hpp"
#include "base/numbers/bf16.hpp"
#include "base/numbers/random.hpp"
#include "layers/dispatch/node_places.hpp"
#include "layers/dispatch/node_share.hpp"
#include "layers/dispatch/node_split.hpp"
#include "layers/dispatch/records.hpp"
#include "layers/dispatch/table.hpp"
#include "layers/dispatch_support.hpp"

using namespace moemill;
using namespace moemill::layers;
using namespace moemill::test;

TEST_CASE("domain nodes: number i of a node sends to number i of every other one, counted round") {
  const DomainNodes nodes(std::vector<int>{7, 7, 3, 7, 3, 9});  // nodes of three, two and one rank
  CHECK(nodes.ranks() == 6);
  CHECK(nodes.nodes() == 3);
  CHECK(std::vector<int>(nodes.ranks_of(1).begin(), nodes.ranks_of(1).end()) == std::vector<int>{2, 4});
  CHECK(nodes.node_of(3) == 0);
  CHECK(nodes.place_of(3) == 2);
  CHECK(nodes.receiver(3, 1) == 2);  // the third of three, counted round
  CHECK(nodes.receiver(1, 1) == 4);
  CHECK(nodes.receiver(4, 2) == 5);
  const std::vector<std::vector<int>> senders{{2, 5}, {4}, {0, 3, 5}, {}, {1}, {0, 1, 2, 3, 4}};
  for (int rank = 0; rank < 6; ++rank) CHECK(nodes.senders_to(rank) == senders[static_cast<std::size_t>(rank)]);
  for (const std::vector<int>& sizes : {std::vector{4}, {1, 1, 1}, {3, 1}, {2, 5, 5, 3}, {7, 2}}) {
    std::vector<int> memory;
    for (std::size_t node = 0; node < sizes.size(); ++node)
      memory.insert(memory.end(), static_cast<std::size_t>(sizes[node]), static_cast<int>(node));
    const DomainNodes any(memory);
    std::size_t most = 0;
    for (int rank = 0; rank < static_cast<int>(any.ranks()); ++rank) most = std::max(most, any.senders_to(rank).size());
    CHECK(any.most_senders() == most);
  }
}

TEST_CASE("table: the places of experts, the own node's first as far as its part goes") {
  const model::Placement placement = some_twice();
  const DomainNodes nodes(std::vector<int>{0, 1, 1});  // rank 0 alone; ranks 1 and 2 hold experts 1, 2 and 3
  // Expert 3 is held by all ranks, in equal parts. So each node computes what its own rows pick.
  const std::vector<std::vector<SlotPlace>> expected{{{0, 0}, {1, 0}, {1, 1}, {0, 1}},
                                                     {{0, 0}, {1, 0}, {1, 1}, {1, 2}}};
  const std::vector<Numbers> owners{{0, 0}, {1, 0, 0}};
  for (std::uint32_t home = 0; home < 2; ++home) {
    const DispatchTable table(placement, nodes, home);
    const auto places = table.places({1}).place;
    CHECK(std::vector<SlotPlace>(places.begin(), places.end()) == expected[home]);
    CHECK(list(table.places({1}).begin) == Numbers{0, 1, 2, 3, 4});
    CHECK(table.slots({1}) == owners[home].size());
    CHECK(list(table.owner_of_slot({1})) == owners[home]);
    CHECK(table.places({0}).place.empty());
    CHECK(table.slots({0}) == 0);
    CHECK(table.most_slots() == 3);
  }
}

TEST_CASE("records: a row's values, the number of its slots and the slots, in multiples of 16 bytes") {
  CHECK(RecordForm(8, 7).bytes() == 32);
  CHECK(RecordForm(8, 8).bytes() == 48);
  const RecordForm form(3, 2);
  CHECK(form.row_bytes() == 6);
  CHECK(form.bytes() == 16);
  CHECK(form.stride() == 8);
  alignas(16) std::byte record[16];
  std::memset(record, 0xab, sizeof record);
  form.clear_picks(record);
  form.add_pick(record, {5, false, 0.5f});
  form.add_pick(record, {RecordForm::max_slot, true, 0.25f});
  const std::uint16_t tags[] = {2, 5, 0xffff};
  CHECK(std::memcmp(record + 6, tags, sizeof tags) == 0);
  CHECK(form.picks(record) == 2);
  CHECK(form.pick(record, 1).slot == RecordForm::max_slot);
  CHECK(form.pick(record, 1).joins);
  CHECK(record[5] == std::byte{0xab});
  CHECK(record[12] == std::byte{0xab});

  const RecordForm with_weights(3, 2, ExpertSum::Groups);  // 6 bytes, 3 tags, 2 weights from byte 12 on
  CHECK(with_weights.bytes() == 32);
  alignas(16) std::byte weighted[32];
  with_weights.clear_picks(weighted);
  with_weights.add_pick(weighted, {5, false, 0.5f});
  with_weights.add_pick(weighted, {7, true, 0.25f});
  CHECK(with_weights.pick(weighted, 0).weight == 0.5f);
  CHECK(with_weights.pick(weighted, 1).weight == 0.25f);
  CHECK(!with_weights.pick(weighted, 0).joins);
  const float weights[] = {0.5f, 0.25f};
  CHECK(std::memcmp(weighted + 12, weights, sizeof weights) == 0);
}

TEST_CASE("pairs: sorted by slot, within a slot in the order of their outputs") {
  std::uint32_t begin[6], row[5], output[5];
  const PairList pairs{begin, row, output};
  const std::vector<std::array<std::uint32_t, 2>> all{{0, 2}, {0, 0}, {1, 2}, {2, 0}, {3, 3}};
  for (int time = 0; time < 2; ++time) {
    pairs.fill(5, [&](const auto& visit) {
      std::uint32_t next = 10;
      for (const auto& pair : all) visit(pair[0], pair[1], next++);
    });
    CHECK(Numbers(begin, begin + 6) == Numbers{0, 2, 2, 4, 5, 5});
    CHECK(Numbers(row, row + 5) == Numbers{0, 2, 0, 1, 3});
    CHECK(Numbers(output, output + 5) == Numbers{11, 13, 10, 12, 14});
    CHECK(pairs.rows_of(2) == 2);
    pairs.fill(0, [](const auto&) {});
    CHECK(begin[0] == 0);
  }
  CHECK_THROWS_AS(pairs.fill(1, [](const auto& visit) { visit(0, 1, 0); }), ContractViolation);
}

namespace {

// The cuts are in order, leave pieces of 8 rows and cover everything. Returns the busiest rank's cost over the mean.
double check_split(const Numbers& rows, std::uint32_t ranks) {
  std::vector<Cut> cuts;
  split_node_work(rows, ranks, cuts);
  REQUIRE(cuts.size() == ranks + 1);
  CHECK(cuts.front() == Cut{});
  CHECK(cuts.back() == Cut{static_cast<std::uint32_t>(rows.size()), 0});
  Numbers seen(rows.size());
  std::uint64_t busiest = 0, all = 0;
  for (std::uint32_t r = 0; r < ranks; ++r) {
    for_each_piece_between(rows, cuts[r], cuts[r + 1], [&](std::uint32_t slot, std::uint32_t first, std::uint32_t n) {
      CHECK(first == seen[slot]);
      CHECK((n >= least_piece_rows || n == rows[slot]));
      seen[slot] += n;
    });
    const std::uint64_t cost = cost_between(rows, cuts[r], cuts[r + 1]);
    busiest = std::max(busiest, cost), all += cost;
  }
  CHECK(seen == rows);
  return all == 0 ? 1 : static_cast<double>(busiest) * ranks / static_cast<double>(all);
}

}  // namespace

TEST_CASE("split: every pair is computed once, and no rank has much more than the others") {
  CHECK(check_split({}, 3) == 1);
  CHECK(check_split({0, 0}, 2) == 1);
  CHECK(check_split({1}, 4) == 4);
  CHECK(check_split({1, 0, 1, 1, 0, 0, 1}, 2) == 1);  // the experts of one row go to both ranks
  CHECK(check_split({1000}, 4) == 1);                 // one hot expert, by rows
  CHECK(check_split({15, 15}, 2) == 1);
  CHECK(check_split({15}, 2) == 2);  // two pieces would be too short
  CHECK(check_split({16}, 2) == 1);
  CHECK(check_split({4000, 8, 9, 0, 7, 100}, 4) < 1.01);
  CHECK(expert_cost(0) == 0);
  CHECK(expert_cost(3) == 8);
  CHECK(expert_cost(9) == 9);
}

TEST_CASE("split: of DeepSeek-V3's experts on one node of 128 ranks") {
  for (const std::uint32_t rows_a_rank : {8u, 128u}) {
    // Picks of a router: some experts are several times as popular as others.
    Numbers rows(256);
    for (std::uint32_t i = 0; i < 128 * rows_a_rank * 8; ++i) {
      const auto random = philox(7, i);
      ++rows[random[1] % 3 == 0 ? random[0] % 32 : random[0] % 256];
    }
    const double ratio = check_split(rows, 128);
    const Numbers own(128, 2);
    std::uint64_t most = 0;
    for (std::size_t r = 0; r < 128; ++r) most = std::max<std::uint64_t>(most, rows[2 * r] + rows[2 * r + 1]);
    MESSAGE(rows_a_rank, " rows a rank, busiest over mean: ", ratio,
            "; if each computed its own two experts: ", static_cast<double>(most) / (8 * rows_a_rank));
    CHECK(ratio <= 1.05);
  }
}

TEST_CASE("share: the ranks' shares of all lists are all pairs, in the order of slots") {
  // Two lists of three slots: 20 pairs of slot 0 and 1 of slot 2; 4 of slot 0 and 30 of slot 1.
  Numbers begins[2] = {{0, 20, 20, 21}, {0, 4, 34, 34}}, rows[2], outputs[2];
  for (std::uint32_t l = 0; l < 2; ++l) {
    for (std::uint32_t i = 0; i < begins[l][3]; ++i) rows[l].push_back(100 * l + i), outputs[l].push_back(1000 * l + i);
  }
  const std::vector<PairList> lists{{begins[0].data(), rows[0].data(), outputs[0].data()},
                                    {begins[1].data(), rows[1].data(), outputs[1].data()}};
  const Numbers owner{0, 1, 1};
  Numbers all_rows, all_outputs;
  ExchangeTotals totals;
  for (std::uint32_t rank = 0; rank < 3; ++rank) {
    NodeShare share;
    share.take(lists, owner, 3, rank);
    CHECK(share.slot_begin().size == 4);
    const Numbers here = list(share.rows()), there = list(share.outputs());
    CHECK(here.size() == there.size());
    all_rows.insert(all_rows.end(), here.begin(), here.end());
    all_outputs.insert(all_outputs.end(), there.begin(), there.end());
    share.add_costs(totals);
  }
  Numbers expected(20), expected_outputs;
  std::iota(expected.begin(), expected.end(), 0);
  for (std::uint32_t i = 0; i < 34; ++i) expected.push_back(100 + i);
  expected.push_back(20);
  for (const std::uint32_t row : expected) expected_outputs.push_back(row < 100 ? row : row + 900);
  CHECK(all_rows == expected);
  CHECK(all_outputs == expected_outputs);
  CHECK(totals.work == 24 + 30 + 8);
  CHECK(totals.busiest_work == 3 * 23);        // 16 of slot 0; 8 of slot 0 and 15 of slot 1; 15 of slot 1 and slot 2
  CHECK(totals.busiest_owner_work == 3 * 38);  // rank 1 holds slots 1 and 2
}

TEST_CASE("places: nothing of a node's memory lies twice, and indices that do not fit are the user's to fix") {
  const ExchangeShape shape{.hidden = 5, .picks = 3, .experts = 6, .rows = 10, .channels = 2};
  const DomainNodes nodes(std::vector<int>{0, 0, 0, 1});
  const NodePlaces places(shape, nodes, 0);
  std::vector<std::byte> memory(places.bytes() + 64);
  std::byte* const base = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> taken;  // begin and end
  const auto take = [&](const void* begin, std::size_t bytes) {
    const auto at = reinterpret_cast<std::uintptr_t>(begin);
    taken.push_back({at, at + bytes});
  };
  take(&places.left(base), 64);
  const auto take_rows = [&](std::uint32_t first) {
    take(places.rows(base).row(first), 10 * places.form().bytes());
    take(places.outputs(base).row(places.outputs_of(first)), 30 * 5 * sizeof(bf16));
  };
  const auto take_list = [&](const PairList& pairs, std::size_t count) {
    take(pairs.begin, 7 * 4), take(pairs.row, count * 4), take(pairs.output, count * 4);
  };
  for (int channel = 0; channel < 2; ++channel) {
    for (std::uint32_t place = 0; place < 3; ++place) {
      for (const Stage stage : {Stage::Listed, Stage::Arrived, Stage::Done})
        take(&places.flag(base, channel, place, stage), 64);
      take_rows(places.first_row(channel, place));
      take_list(places.own_list(base, channel, place), 30);
    }
    CHECK(places.senders(0) == 1);  // the rank of the other node
    CHECK(places.senders(1) == 0);
    take_rows(places.first_arrived_row(channel, 0, 0));
    take_list(places.arrived_list(base, channel, 0), 30);
  }
  std::sort(taken.begin(), taken.end());
  for (std::size_t i = 1; i < taken.size(); ++i) CHECK(taken[i].first >= taken[i - 1].second);
  CHECK(taken.front().first == reinterpret_cast<std::uintptr_t>(base));
  CHECK(taken.back().second <= reinterpret_cast<std::uintptr_t>(base) + places.bytes());

  ExchangeShape huge = shape;
  huge.rows = 1u << 30;
  CHECK_THROWS_WITH_AS(NodePlaces(huge, nodes, 0),
                       "parallel.max_num_batched_tokens: 1073741824 rows of each of 4 ranks are more than the 3 ranks "
                       "of a node can number; lower it to 178956970",
                       UserError);
}
