// What a thread needs to draw from one row at a time. Private to sample/cpu/: sampler.cpp has what every draw does,
// top_p.cpp the nucleus over all tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "sample/cpu/adjust.hpp"
#include "sample/cpu/sampler.hpp"
#include "sample/cpu/scan.hpp"
#include "sample/cpu/sketch.hpp"

namespace moemill::cpu {

struct Sampler::Workspace {
  static constexpr std::size_t block_tokens = 1024;  // p is summed by blocks: a draw looks into one of them
  static constexpr float lowest = std::numeric_limits<float>::lowest();

  explicit Workspace(std::uint32_t vocabulary) : adjuster(vocabulary) {}

  Adjuster adjuster;
  Maxima maxima;  // of the current row
  Candidates candidates;
  CutAtSum cut_at_sum;
  Sketch sketch;
  Buffer<float> adjusted;                 // [vocabulary]
  Buffer<float> p;                        // [vocabulary]
  std::vector<std::uint64_t> block_sums;  // [blocks] fixed-point sums of p
  std::vector<float> scratch;
  std::vector<std::uint32_t> indices;

  // Of one row: its logits, and their chunks' maxima or none.
  struct Row {
    std::span<const float> logits, maxima;
  };
  static Row row_of(const Logits& logits, std::uint32_t row);
  void find_row_maxima(Stream& stream, const Row& row);
  sample::SampleResult sample(Stream& stream, const Row& own, const SampleRequest& request);
  float score(Stream& stream, const Row& row, TokenId target);
  void find_best(Stream& stream, std::span<const float> row, float log_sum_exp, std::span<sample::TokenLogprob> top);
  TokenId draw(Stream& stream, std::span<const float> row, const SamplingParams& params, std::uint64_t u);
  TokenId draw_filtered(Stream& stream, std::span<const float> row, const SamplingParams& params, std::uint64_t u);

  // Draws from all tokens, by blocks. exp_all fills block_sums, and p where it is wanted; exp_all_and_total fills
  // block_sums and returns log_sum_exp of the row.
  void exp_all(Stream& stream, std::span<const float> row, float scale, float* out);
  float exp_all_and_total(Stream& stream, std::span<const float> row, float scale);
  std::uint64_t blocks_total() const;
  struct BlockDraw {
    std::size_t block;
    std::uint64_t left;  // what the sum up to the drawn token of the block must exceed
  };
  BlockDraw draw_block(std::uint64_t u) const;
  // block_sums are those of the tokens that the cut keeps; p is computed in one block alone.
  TokenId draw_from_blocks(Stream& stream, std::span<const float> row, float scale, Cut cut, std::uint64_t u);

  std::uint64_t candidates_total() const;
  void keep_candidates(std::span<const float> values, Cut cut);
  TokenId draw_from_candidates(std::uint64_t u) const;
  void add_kept_candidates(Cut cut);  // to block_sums; the cut's index is a token's id

  // top_p over all tokens.
  struct TopP;
  TokenId draw_top_p(Stream& stream, std::span<const float> row, const SamplingParams& params, std::uint64_t u);
};

}  // namespace moemill::cpu
