// What a step, or one half of it, asks of attention, worked out once and used by every layer: where rows go in the
// cache, what each generated row reads, and in which pieces prompts are expanded and attended. Made by layers/forward,
// read by layers/mla and layers/gqa. None of it can change a bit: blocks of keys are pages, aligned to position 0 of
// their sequence, and a lane or row knows nothing of those beside it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.hpp"
#include "kernels/attention.hpp"
#include "layers/kv_cache.hpp"
#include "layers/rope_table.hpp"
#include "schedule/step.hpp"

namespace moemill::layers {

// Consecutive rows of one sequence.
struct Run {
  std::uint32_t row;  // of the plan
  std::uint32_t rows;
  std::uint32_t first_position;
  std::uint32_t first_page;  // into AttentionPlan::pages
};

// A generated token: one row against all pages of its sequence.
struct GeneratedRow {
  std::uint32_t row;  // of the plan
  std::uint32_t position;
  std::uint32_t first_page;  // into AttentionPlan::pages
};

// Up to attention_lanes consecutive queries of a prompt; for each head they are the lanes of one tile.
struct QueryTile {
  std::uint32_t row;  // of the plan
  std::uint32_t queries;
  std::uint32_t first_position;
};

// A tile meets the keys of its sequence that lie in one wave.
struct Visit {
  QueryTile tile;
  std::uint32_t first_key;       // row of the wave's keys; they are consecutive
  std::uint32_t keys;            // up to and with the tile's last query
  std::uint32_t first_position;  // of the first key, a multiple of page_tokens
  bool opens;                    // the tile's first visit
  bool closes;                   // and its last
  std::uint32_t state;           // where a tile lives between its visits
};

// Keys and values that are expanded together, of one or several prompts.
struct Wave {
  std::uint32_t first_slot;  // into AttentionPlan::key_slots
  std::uint32_t keys;
  std::uint32_t first_visit;
  std::uint32_t visits;
};

constexpr std::uint32_t wave_keys = 4 * schedule::page_tokens;  // of one head in fp32 they fit a core's L2

struct AttentionPlan {
  std::uint32_t first_row = 0;  // of the step
  std::uint32_t rows = 0;
  std::vector<Run> runs;
  // By PageGroup; empty where the model has no such layers.
  std::array<std::vector<TokenSlot>, schedule::page_groups> slots;  // [rows]
  std::array<std::vector<PageId>, schedule::page_groups> pages;     // as in the step
  AlignedBuffer<float> cosine;                                      // [rows][rope / 2]
  AlignedBuffer<float> sine;

  // Latent attention alone, whose pages are all of PageGroup::Full.
  std::vector<GeneratedRow> generated;  // rows 0 .. generated.size() - 1 of the plan, in order
  std::vector<TokenSlot> key_slots;
  std::vector<Visit> visits;
  std::vector<Wave> waves;
  std::uint32_t states = 0;
};

// Plans the rows of `segments`, which are consecutive ones of the step.
void plan_attention(const schedule::Step& step, std::span<const schedule::Segment> segments, model::AttentionKind kind,
                    RopeTable& rope, AttentionPlan& plan);

}  // namespace moemill::layers
