// The work list of latent attention: which keys are expanded when, and which queries visit them, also where prompts
// share pages.
#include "layers/cpu/attention/latent_tiles.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "kernels/cpu/attention_lanes.hpp"
#include "layers/latent_layer.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

cpu::LatentTiles tiles_of(const Step& step) {
  model::Rope turns;
  turns.frequencies = {1.0f};
  RopeTable table(turns);
  AttentionPlan plan;
  plan_attention(step, step.segments, table, plan);
  cpu::LatentTiles tiles;
  make_tiles(plan, tiles);
  return tiles;
}

// The memory of tiles in units: no visit may use what another tile still needs.
struct Memory {
  std::set<std::uint32_t> alive;  // between waves
  std::set<std::uint32_t> used;   // in this wave

  void visit(const cpu::Visit& v, std::uint32_t units) {
    const std::uint32_t end = v.state + (v.tile.queries > cpu::narrow_lanes ? 2 : 1);
    REQUIRE(end <= units);
    for (std::uint32_t unit = v.state; unit < end; ++unit) {
      REQUIRE(used.insert(unit).second);
      REQUIRE(alive.contains(unit) == !v.opens);
      if (v.closes) alive.erase(unit);
      if (v.opens) alive.insert(unit);
    }
  }
};

// Every prompt row meets the keys of its own positions up to its own, once and in order, a tile once in a wave.
void check_tiles(const Step& step, const cpu::LatentTiles& tiles) {
  std::map<std::uint32_t, const schedule::Segment*> segment_of;  // by row
  for (const schedule::Segment& s : step.segments) {
    for (std::uint32_t i = 0; i < s.rows; ++i) segment_of[s.first_row + i] = &s;
  }
  std::vector<std::uint32_t> seen(step.rows(), 0);  // keys that a row has met so far
  Memory memory;
  for (const cpu::Wave& wave : tiles.waves) {
    REQUIRE(wave.keys > 0);
    REQUIRE(wave.keys <= cpu::wave_keys);
    memory.used.clear();
    std::set<std::uint32_t> rows;
    for (std::uint32_t i = 0; i < wave.visits; ++i) {
      const cpu::Visit& v = tiles.visits[wave.first_visit + i];
      const schedule::Segment& segment = *segment_of[v.tile.row];
      REQUIRE(rows.insert(v.tile.row).second);
      REQUIRE(v.first_position % page_tokens == 0);
      REQUIRE(v.first_key + v.keys <= wave.keys);
      REQUIRE(v.opens == (v.first_position == 0));
      bool right = true;  // are the keys those of the sequence
      for (std::uint32_t k = 0; k < v.keys; ++k) {
        right &= tiles.key_slots[wave.first_slot + v.first_key + k] ==
                 slot_of(step.pages[0], segment.first_page, v.first_position + k);
      }
      REQUIRE(right);
      if (!(v.opens && v.closes)) memory.visit(v, tiles.states);
      for (std::uint32_t q = 0; q < v.tile.queries; ++q) {
        const std::uint32_t row = v.tile.row + q, position = v.tile.first_position + q;
        right &= segment_of[row] == &segment && step.positions[row] == position;
        right &= seen[row] == std::min(v.first_position, position + 1);
        seen[row] = std::min(v.first_position + v.keys, position + 1);
      }
      REQUIRE(right);
      REQUIRE(v.closes == (v.first_position + v.keys == v.tile.first_position + v.tile.queries));
    }
  }
  CHECK(memory.alive.empty());
  for (const schedule::Segment& s : step.segments) {
    if (s.kind != RowKind::Prompt) continue;
    bool all = true;
    for (std::uint32_t r = s.first_row; r < s.first_row + s.rows; ++r) all &= seen[r] == step.positions[r] + 1;
    CHECK(all);
  }
}

// Keys that the prompts of a step need at least: of each page as many as the prompt that sees most of it sees.
std::size_t different_keys(const Step& step) {
  std::set<layers::TokenSlot> slots;
  for (const schedule::Segment& s : step.segments) {
    if (s.kind != RowKind::Prompt) continue;
    for (std::uint32_t p = 0; p < s.first_position + s.rows; ++p) slots.insert(slot_of(step.pages[0], s.first_page, p));
  }
  return slots.size();
}

// Hands out pages that nobody had before.
struct Pages {
  std::int32_t next = 0;
  std::vector<PageId> grow(std::vector<PageId> pages, std::size_t tokens) {
    while (pages.size() * page_tokens < tokens) pages.push_back({next++ * 37 % 4096});
    return pages;
  }
};

std::uint32_t drawn(std::uint64_t key, std::uint64_t i, std::uint32_t below) { return philox(key, i)[0] % below; }

// Prompts that share pages with earlier ones in any way, in an order that says nothing.
Step random_step(std::uint64_t key) {
  struct Prompt {
    std::vector<PageId> pages;
    std::uint32_t first, rows;
  };
  Pages pages;
  std::vector<Prompt> prompts;
  const std::uint32_t count = 1 + drawn(key, 0, 40), longest = 1 + drawn(key, 1, 4) * 70;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::vector<PageId> shared;
    if (i > 0 && drawn(key, 10 * i + 2, 4) > 0) shared = prompts[drawn(key, 10 * i + 3, i)].pages;
    shared.resize(drawn(key, 10 * i + 4, static_cast<std::uint32_t>(shared.size()) + 1));
    // The first row lies behind what is shared, or in it, as that of the prompt that computes it.
    const auto behind = static_cast<std::uint32_t>(shared.size()) * page_tokens;
    const std::uint32_t first = drawn(key, 10 * i + 5, behind + 100);
    const std::uint32_t rows = 1 + drawn(key, 10 * i + 6, longest);
    prompts.push_back({pages.grow(shared, first + rows), first, rows});
  }
  for (std::uint32_t i = count; i > 1; --i) std::swap(prompts[i - 1], prompts[drawn(key, 10 * i + 7, i)]);
  Step step;
  for (const Prompt& p : prompts) add(step, RowKind::Prompt, p.first, p.rows, p.pages);
  return step;
}

}  // namespace

TEST_CASE("latent attention's tiles take every query of a prompt past every key up to it, once, in order") {
  Step step;
  Pages pages;
  add(step, RowKind::Generated, 130, 1, pages.grow({}, 131));
  add(step, RowKind::Generated, 64, 3, pages.grow({}, 67));
  for (std::uint32_t rows : {7u, 1u, 300u, 64u, 65u, 256u, 31u})
    add(step, RowKind::Prompt, 0, rows, pages.grow({}, rows));
  add(step, RowKind::Prompt, 100, 700, pages.grow({}, 800));  // a later chunk
  const cpu::LatentTiles tiles = tiles_of(step);
  REQUIRE(tiles.generated.size() == 4);
  CHECK(tiles.generated[3].position == 66);
  CHECK(tiles.work == std::vector<std::uint64_t>{0, 3, 5, 7, 9});  // pages that the rows before each one read
  check_tiles(step, tiles);
  CHECK(tiles.key_slots.size() == different_keys(step));
}

TEST_CASE("prompts that share nothing fill waves: one may begin where another one ends") {
  Step step;
  Pages pages;
  for (int i = 0; i < 4; ++i) add(step, RowKind::Prompt, 0, 320, pages.grow({}, 320));
  const cpu::LatentTiles tiles = tiles_of(step);
  check_tiles(step, tiles);
  CHECK(tiles.waves.size() == 4 * 320 / cpu::wave_keys);
}

TEST_CASE("a page that prompts share is expanded once, in whatever way they share") {
  std::size_t shared = 0;
  for (std::uint64_t key = 0; key < 300; ++key) {
    CAPTURE(key);
    const Step step = random_step(key);
    const cpu::LatentTiles tiles = tiles_of(step);
    check_tiles(step, tiles);
    std::size_t seen = 0, units = 0;
    for (const schedule::Segment& s : step.segments) {
      seen += s.first_position + s.rows;
      units += (s.rows + cpu::narrow_lanes - 1) / cpu::narrow_lanes;
    }
    if (units <= tiles.states) CHECK(tiles.key_slots.size() == different_keys(step));
    CHECK(tiles.key_slots.size() >= different_keys(step));
    CHECK(tiles.key_slots.size() <= seen);
    shared += units <= tiles.states && different_keys(step) < seen;
  }
  CHECK(shared > 100);
}

TEST_CASE("64 prompts behind a prefix of eight pages expand it once; prompts of one row do so in groups that fit") {
  Pages pages;
  const std::vector<PageId> prefix = pages.grow({}, 512);
  Step step, many;
  for (int i = 0; i < 64; ++i) add(step, RowKind::Prompt, 512, 32, pages.grow(prefix, 544));
  const cpu::LatentTiles tiles = tiles_of(step);
  check_tiles(step, tiles);
  CHECK(tiles.key_slots.size() == 512 + 64 * 32);

  pages.next = 8;
  for (int i = 0; i < 400; ++i) add(many, RowKind::Prompt, 512, 1, pages.grow(prefix, 513));
  const cpu::LatentTiles grouped = tiles_of(many);
  check_tiles(many, grouped);
  CHECK(grouped.states == 128);
  CHECK(grouped.key_slots.size() == 4 * 512 + 400);
}

TEST_CASE("memory for tiles grows with the rows of a step, and is that of two prompts as long as it") {
  CHECK(cpu::state_units(0) == 0);
  CHECK(cpu::state_units(40) == 40);
  CHECK(cpu::state_units(500) == 128);
  CHECK(cpu::state_units(2048) == 256);
  for (std::size_t rows = 1; rows < 3000; ++rows) REQUIRE(cpu::state_units(rows) >= cpu::state_units(rows - 1));
}
