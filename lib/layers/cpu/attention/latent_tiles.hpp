// The work list of latent attention on the CPU, derived from the attention plan once per step: generated rows one by
// one, and the pieces in which prompts are expanded and attended. Read by cpu::LatentAttention.
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
  std::uint32_t state;           // index of the memory that keeps the tile between visits
};

// Keys and values that are expanded together, of one or several prompts.
struct Wave {
  std::uint32_t first_slot;  // index into LatentTiles::key_slots
  std::uint32_t keys;
  std::uint32_t first_visit;
  std::uint32_t visits;
};

constexpr std::uint32_t wave_keys = 4 * schedule::page_tokens;  // one head's keys and values in fp32 fit a core's L2

struct LatentTiles {
  std::vector<GeneratedRow> generated;  // rows 0 .. generated.size() - 1 of the plan, in order
  std::vector<std::uint64_t> work;      // [generated + 1] pages that the generated rows before each one read
  std::vector<TokenSlot> key_slots;
  std::vector<Visit> visits;
  std::vector<Wave> waves;
  std::uint32_t states = 0;
};

void make_tiles(const AttentionPlan& plan, LatentTiles& tiles);

}  // namespace moemill::cpu
