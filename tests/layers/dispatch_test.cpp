// The pieces of the dispatch without any transport: the table, the wire form, the list of pairs.
#include <doctest/doctest.h>

#include <cstring>

#include "base/numbers/bf16.hpp"
#include "layers/dispatch/pair_list.hpp"
#include "layers/dispatch/records.hpp"
#include "layers/dispatch/table.hpp"

using namespace moemill;
using namespace moemill::layers;
using model::Holder;

namespace {

using Slots = std::vector<std::vector<GlobalExpert>>;

// Experts 0 to 3 on three ranks; expert 3 is held by all of them, expert 2 by ranks 1 and 2.
model::Placement some_twice() {
  const model::LayerPlacement routed(4, Slots{{{0}, {3}}, {{3}, {2}}, {{2}, {3}, {1}}});
  return model::Placement({model::contiguous_slices(0, 3), routed});
}

std::vector<std::uint32_t> list(Vector<const std::uint32_t> values) { return {values.data, values.data + values.size}; }

}  // namespace

TEST_CASE("table: a pick is computed on its own rank if that holds the expert, else on the lowest that does") {
  const model::Placement placement = some_twice();
  const std::vector<std::vector<Holder>> expected{
      {{{0}, {0}}, {{2}, {2}}, {{1}, {1}}, {{0}, {1}}},
      {{{0}, {0}}, {{2}, {2}}, {{1}, {1}}, {{1}, {0}}},
      {{{0}, {0}}, {{2}, {2}}, {{2}, {0}}, {{2}, {1}}},
  };
  for (std::int32_t rank = 0; rank < 3; ++rank) {
    const DispatchTable table(placement, {rank});
    const auto holders = table.holders({1});
    CHECK(std::vector<Holder>(holders.begin(), holders.end()) == expected[static_cast<std::size_t>(rank)]);
    CHECK(table.slots({1}) == placement.layer({1}).slots({rank}).size());
    CHECK(table.holders({0}).empty());
    CHECK(table.slots({0}) == 0);
    CHECK(table.highest_slot() == 2);
  }
}

TEST_CASE("records: a row's values, the number of its slots and the slots, in multiples of 16 bytes") {
  CHECK(RecordForm(8, 7).bytes() == 32);
  CHECK(RecordForm(8, 8).bytes() == 48);
  const RecordForm form(3, 2);
  CHECK(form.row_bytes() == 6);
  CHECK(form.bytes() == 16);
  alignas(16) std::byte record[16];
  std::memset(record, 0xab, sizeof record);
  form.clear_slots(record);
  form.add_slot(record, {5});
  form.add_slot(record, {65535});
  const std::uint16_t tags[] = {2, 5, 65535};
  CHECK(std::memcmp(record + 6, tags, sizeof tags) == 0);
  CHECK(form.slots(record).size() == 2);
  CHECK(record[5] == std::byte{0xab});
  CHECK(record[12] == std::byte{0xab});
}

TEST_CASE("records: a row goes to a rank once, and its outputs are numbered by rank, row and pick") {
  const RecordForm form(4, 2);
  const DispatchTable table(some_twice(), {0});  // expert 1 on rank 2, 2 on rank 1, 0 and 3 here
  std::vector<bf16> values;
  for (std::uint16_t i = 0; i < 3 * 5; ++i) values.push_back({i});
  const std::vector<GlobalExpert> picks{{1}, {2}, {0}, {3}, {2}, {3}};
  const RoutedPicks routed{picks, table.holders({1})};
  RecordPacker packer(form, 2, 3);
  Shares shares{std::vector<std::uint32_t>(3), std::vector<std::uint32_t>(3)};
  packer.count(routed, shares);
  CHECK(shares.records == std::vector<std::uint32_t>{2, 2, 1});
  CHECK(shares.outputs == std::vector<std::uint32_t>{3, 2, 1});

  alignas(16) std::byte memory[5 * 16] = {};
  REQUIRE(form.bytes() == 16);
  std::byte* const first_record[] = {memory, memory + 2 * 16, memory + 4 * 16};
  const std::uint32_t first_output[] = {3, 0, 2};  // own outputs behind those of others
  std::uint32_t output_of_pick[6];
  const auto copies = packer.pack(routed, first_record, first_output, output_of_pick);
  CHECK(copies.size() == 5);
  for (const RowCopy& copy : copies) std::memcpy(copy.record, values.data() + copy.row * 5, form.row_bytes());
  CHECK(list({output_of_pick, 6}) == std::vector<std::uint32_t>{2, 0, 3, 4, 1, 5});
  const std::uint16_t rows_sent[] = {1, 2, 0, 2, 0};
  const std::vector<std::vector<std::uint16_t>> slots{{0, 1}, {1}, {1}, {1}, {2}};
  for (std::size_t r = 0; r < 5; ++r) {
    CHECK(std::memcmp(memory + r * 16, values.data() + rows_sent[r] * 5, form.row_bytes()) == 0);
    const auto sent = form.slots(memory + r * 16);
    CHECK(std::vector<std::uint16_t>(sent.begin(), sent.end()) == slots[r]);
  }
}

TEST_CASE("pairs: sorted by slot, within a slot in the order of their outputs") {
  PairList pairs;
  CHECK(pairs.size() == 0);
  const std::vector<std::pair<std::uint32_t, std::uint32_t>> all{{0, 2}, {0, 0}, {1, 2}, {2, 0}, {3, 3}};
  for (int time = 0; time < 2; ++time) {
    pairs.fill(5, 10, [&](const auto& visit) {
      for (const auto& pair : all) visit(pair.first, pair.second);
    });
    CHECK(list(pairs.slot_begin()) == std::vector<std::uint32_t>{0, 2, 2, 4, 5, 5});
    CHECK(list(pairs.rows()) == std::vector<std::uint32_t>{0, 2, 0, 1, 3});
    CHECK(list(pairs.outputs()) == std::vector<std::uint32_t>{11, 13, 10, 12, 14});
    pairs.fill(0, 0, [](const auto&) {});
    CHECK(pairs.size() == 0);
  }
  CHECK_THROWS_AS(pairs.fill(1, 0, [](const auto& visit) { visit(0, 1); }), ContractViolation);
}
