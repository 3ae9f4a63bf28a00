// The work list of latent attention on the CPU, derived from the attention plan once per step: generated rows one by
// one, and the pieces in which prompts are expanded and attended. A page that several prompts have at the same place,
// behind the same pages, is expanded once for all of them. Read by cpu::LatentAttention.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/attention_plan.hpp"

namespace moemill::cpu {

using layers::AttentionPlan;
using layers::TokenSlot;

// A generated token: one row against all pages of its sequence.
struct GeneratedRow {
  std::uint32_t row;  // of the plan
  std::uint32_t position;
  std::uint32_t first_page;  // index into AttentionPlan::pages
};

// Up to attention_lanes consecutive queries of a prompt; for each head they are the lanes of one tile.
struct QueryTile {
  std::uint32_t row;  // of the plan
  std::uint32_t queries;
  std::uint32_t first_position;
};

// A tile attends to the keys of its sequence that are in one wave.
struct Visit {
  QueryTile tile;
  std::uint32_t first_key;       // index among the wave's keys; the keys are consecutive
  std::uint32_t keys;            // up to and including the tile's last query
  std::uint32_t first_position;  // of the first key, a multiple of page_tokens
  bool opens;                    // this is the tile's first visit
  bool closes;                   // this is the tile's last visit
  std::uint32_t state;           // unit of memory (narrow_lanes) from which on the tile is kept between visits
};

// Keys and values that are expanded together, of one or several prompts. A tile has at most one visit in it.
struct Wave {
  std::uint32_t first_slot;  // index into LatentTiles::key_slots
  std::uint32_t keys;
  std::uint32_t first_visit;
  std::uint32_t visits;
};

// A run of prompt rows, and how it shares pages with others.
struct PromptRun {
  layers::Run run;
  std::uint32_t shared;       // leading pages that were expanded for a run before this one and serve both
  std::uint32_t first_state;  // of its tiles' memory
  std::uint32_t wave;         // the last one so far in which its tiles have visits
};

constexpr std::uint32_t wave_keys = 4 * schedule::page_tokens;  // one head's keys and values in fp32 fit a core's L2

// Between visits a tile is kept in memory, in units of so many lanes: a tile of few queries has no more.
constexpr std::uint32_t narrow_lanes = 16;
// Units of a head for a plan of up to `rows` rows: for two prompts as long as the plan, because one may begin in the
// wave in which another one ends. That is also enough for all its prompts together, however they share pages, if they
// have eight rows or more on average. Shorter ones may have to be expanded in several groups; a least number of units
// lets plans of few rows do without.
std::uint32_t state_units(std::size_t rows);

struct LatentTiles {
  std::vector<GeneratedRow> generated;  // rows 0 .. generated.size() - 1 of the plan, in order
  std::vector<std::uint64_t> work;      // [generated + 1] pages that the generated rows before each one read
  std::vector<PromptRun> prompts;  // ordered by their pages, so that those with the same first pages are neighbours
  std::vector<TokenSlot> key_slots;
  std::vector<Visit> visits;
  std::vector<Wave> waves;
  std::uint32_t states = 0;  // units of memory of each head
};

void make_tiles(const AttentionPlan& plan, LatentTiles& tiles);

}  // namespace moemill::cpu
