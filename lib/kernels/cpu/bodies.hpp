// The functions of one instruction set: what kernels/cpu/*.cpp call after splitting the work over the team, and what
// each bodies_*.cpp fills in. Private to kernels/cpu/. The plain table is the definition; the others give the same
// bits. The vector files define nothing but their table: any inline function they shared with other files could be
// linked from their copy and fail on a CPU without the instructions (scripts/check_vector_symbols.sh holds this).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/numbers/bf16.hpp"
#include "base/page_tokens.hpp"
#include "kernels/cpu/attention_lanes.hpp"
#include "kernels/cpu/attention_pages.hpp"
#include "kernels/cpu/stream.hpp"
#include "kernels/fixed_point.hpp"
#include "kernels/int8.hpp"
#include "kernels/matrix.hpp"
#include "kernels/panel.hpp"
#include "kernels/rows.hpp"

namespace moemill::cpu {

// Inputs are summed in groups of 32: fp32 E of the even ones, O of the odd ones, and then C + (E + O)
// (kernels/gemm.hpp).
constexpr std::size_t group_inputs = 32, group_pairs = group_inputs / 2, half_pairs = group_pairs / 2;

// A pair of inputs is 32 bits, or two codes. Pairs of a group, by their two inputs (upper half, lower half):
// - EvenThenOdd: (0, 2), (4, 6) .. (28, 30), (1, 3) .. (29, 31), so that they come in the order of the two sums and a
//   dot instruction, which adds the upper product first, follows it.
// - Successive: (1, 0), (3, 2) .. (31, 30), as a tile instruction reads them.
struct PairPlace {
  std::size_t pair;   // of the group
  std::size_t upper;  // 1 in the upper half, 0 in the lower
};
constexpr PairPlace place_in_group(PairOrder order, std::size_t input) {
  if (order == PairOrder::Successive) return {input / 2, input % 2};
  const std::size_t position = input % 2 * group_pairs + input / 2;
  return {position / 2, 1 - position % 2};
}
constexpr std::size_t input_of(PairOrder order, PairPlace place) {
  if (order == PairOrder::Successive) return 2 * place.pair + place.upper;
  const std::size_t position = 2 * place.pair + 1 - place.upper;
  return position % group_pairs * 2 + position / group_pairs;
}

constexpr std::size_t block_inputs = 512;  // k of a block: 32 KiB of bf16 a panel, half of most L1 caches

// Codes lie in lines of 64 bytes: one pair of k over a panel in FP8, two pairs in MXFP4 (the low nibbles are the
// first). A line is four quarters of columns {4q .. 4q + 3, 16 + 4q .. 16 + 4q + 3}, each with its two k, which is the
// order that the vector bodies' byte shuffles turn into columns 0 .. 15 and 16 .. 31.
constexpr std::size_t code_line_bytes = 2 * panel_columns;
constexpr std::size_t code_position(std::size_t column, std::size_t upper) {
  return column % 16 / 4 * 16 + column / 16 * 8 + column % 4 * 2 + upper;
}

// The weights of a K block, panel by panel.
struct GemmPanels {
  Format format;
  PairOrder order;
  const std::byte* data;    // the first panel: [pairs][panel_columns][2], or lines of codes
  std::size_t panel_bytes;  // from one panel to the next
  // Only codes have these: the scales of the first panel from the matrix's first input on, and how they lie
  // (packed_layout.hpp).
  const std::byte* scales = nullptr;
  std::size_t panel_scale_bytes = 0;
  std::size_t first_input = 0, scale_inputs = 0, scale_columns = 0;
};

// Rows of A against successive panels of one K block: C += A * W, or C = A * W in the first block.
struct GemmBlock {
  const std::byte* a;  // [rows], each as the body packs it
  std::size_t rows;
  GemmPanels w;
  std::size_t groups;  // of 32 inputs
  std::size_t panels;
  std::size_t last_columns;  // columns of the last panel that C has, 1..panel_columns
  float* c;                  // [rows][c_stride], first column of the first panel
  std::size_t c_stride;
  bool first;             // start from zero instead of C
  const std::byte* next;  // the data needed after this block's, to be prefetched; may be null
  std::byte* scratch;     // gemm_scratch_bytes, on a cache line
};
constexpr std::size_t widened_panel_bytes = block_inputs * panel_columns * sizeof(float);
constexpr std::size_t sums_bytes = 8192;
constexpr std::size_t gemm_scratch_bytes = widened_panel_bytes + sums_bytes;
// Rows that share one packing of A and one widening of a panel: 168 fp32 rows of a K block are 350 KB, which leaves
// room for panels in an L2 of 512 KiB.
constexpr std::size_t chunk_rows = 168;

// The product with weights of fp32 rows, by fused multiply-adds. Fields as in GemmBody.
struct ExactGemm {
  std::size_t row_bytes;
  void (*pack_row)(const float* in, std::size_t inputs, std::byte* out);
  void (*block)(const GemmBlock& block);
};
extern const ExactGemm plain_exact_gemm;
extern const ExactGemm avx2_exact_gemm;
extern const ExactGemm avx512_exact_gemm;
extern const ExactGemm amx_exact_gemm;  // by AVX-512, for the order of pairs that tiles read

// The product with weights, in one instruction set's way.
struct GemmBody {
  PairOrder order;        // of the pairs that it reads
  std::size_t row_bytes;  // of a packed row of A in a K block; no multiple of 4 KiB, so that rows share no cache set
  // One row of A in a K block, padded with zeros to whole groups.
  void (*pack_row)(const bf16* in, std::size_t inputs, std::byte* out);
  void (*block)(const GemmBlock& block);
  const ExactGemm* exact;  // for fp32 rows, reading the same order
};
extern const GemmBody plain_gemm;  // reads both orders
extern const GemmBody avx2_gemm;
extern const GemmBody avx512_gemm;
extern const GemmBody avx512_bf16_gemm;
extern const GemmBody amx_gemm;

// The product with weights quantised to int8, in one instruction set's way. Fields as in GemmBody. A block's panel has,
// for each int8_group inputs of its K block, fp32 scales [panel_columns] and then codes [inputs / 4][panel_columns][4],
// to which 128 is added (int8_bias): dot instructions take one operand without a sign.
struct Int8Gemm {
  std::size_t row_bytes;
  void (*pack_bf16)(const bf16* in, std::size_t inputs, std::byte* out);
  void (*pack_fp32)(const float* in, std::size_t inputs, std::byte* out);
  void (*block)(const GemmBlock& block);
};
constexpr int int8_bias = 128;
constexpr std::size_t int8_step = 64;                        // K is padded to whole steps: what a tile reads
constexpr std::size_t int8_quad_bytes = 4 * panel_columns;   // four inputs over a panel
constexpr std::size_t int8_scale_bytes = 4 * panel_columns;  // of a group over a panel
constexpr std::size_t int8_block_groups = block_inputs / int8_group;
constexpr std::size_t int8_group_bytes = int8_scale_bytes + int8_group * panel_columns;  // of a full group over a panel
extern const Int8Gemm plain_int8_gemm;
extern const Int8Gemm avx2_int8_gemm;
extern const Int8Gemm avxvnni_int8_gemm;
extern const Int8Gemm avx512_int8_gemm;
extern const Int8Gemm avx512vnni_int8_gemm;
extern const Int8Gemm amx_int8_gemm;

struct Bodies {
  // One row each; n is its width.
  void (*widen)(const bf16* in, std::size_t n, float* out);
  void (*round)(const float* in, std::size_t n, bf16* out);
  void (*add)(float* x, const float* y, std::size_t n);
  void (*add_scaled)(float* x, const float* y, float scale, std::size_t n);
  float (*dot)(const float* x, const float* y, std::size_t n);
  void (*rms_norm)(const float* x, std::size_t n, const float* weight, float eps, bf16* rounded, float* exact);
  void (*rotate_adjacent)(float* x, std::size_t dim, const float* cosine, const float* sine);
  void (*rotate_halves)(float* x, std::size_t dim, const float* cosine, const float* sine);
  void (*swiglu)(const float* gate, const float* up, std::size_t n, bf16* out);
  void (*clamped_swiglu)(const float* gate, const float* up, std::size_t n, float limit, bf16* out);
  void (*weighted_sum)(const bf16* y, std::size_t y_stride, const std::uint32_t* row_of, const float* weights,
                       std::size_t picks, std::size_t n, float* out);
  // ends: [most] as of GroupTerms.
  void (*group_sum)(const bf16* y, std::size_t y_stride, const std::uint32_t* row_of, const float* weights,
                    std::size_t picks, std::size_t n, bf16* out);
  void (*sum_of_groups)(const bf16* y, std::size_t y_stride, const std::uint32_t* row_of, const float* weights,
                        const std::uint32_t* ends, std::size_t most, std::size_t n, float* out);
  void (*sigmoid)(float* x, std::size_t n);
  void (*divide)(float* x, std::size_t n, float by);
  float (*maximum)(const float* x, std::size_t n);
  // maxima: one per maxima_chunk values; 0 if all values are finite, else NaN.
  float (*chunk_maxima)(const float* x, std::size_t n, float* maxima);
  // Sum of exp(x[i] - maximum), none of which exceeds 1.
  float (*exp_total)(const float* x, std::size_t n, float maximum);
  // Sum of p[i] = exp((x[i] - maximum) * scale); p may be null.
  float (*exp_sum)(const float* x, std::size_t n, float maximum, float scale, float* p);
  // kernels/fixed_point.hpp
  std::uint64_t (*fixed_sum)(const float* p, std::size_t n);
  // p may be null; none exceeds 1.
  std::uint64_t (*fixed_exp_row)(const float* x, std::size_t n, float maximum, float scale, float* p);
  float (*fixed_exp_blocks)(const float* x, std::size_t n, float maximum, float scale, std::size_t block,
                            std::uint64_t* sums);
  FixedShares (*fixed_exp_above)(const float* x, std::size_t n, float maximum, float scale, float threshold);
  std::size_t (*select_between)(const float* x, std::size_t n, float low, float high, std::uint32_t first_id,
                                std::uint32_t* ids, float* values);
  void (*attention_block)(AttentionTile& tile, const float* keys, std::size_t key_stride, const float* values,
                          std::size_t value_stride, std::size_t tokens, std::uint32_t first_position);
  void (*attention_latents)(AttentionTile* tiles, std::size_t count, const LatentBlock& block);
  void (*attention_end)(AttentionTile& tile);
  void (*attention_page)(AttentionRows& rows, const bf16* page, std::uint32_t first_position, const PageAhead& next);
  void (*attention_rows_begin)(AttentionRows& rows, HeadsOfGroup<const float> queries, float scale);
  void (*attention_rows_end)(AttentionRows& rows, HeadsOfGroup<float> outputs);
  void (*lanes_in)(const float* in, std::size_t in_stride, std::size_t used, std::size_t width, float scale, float* out,
                   std::size_t lanes);
  void (*lanes_out)(const float* in, std::size_t lanes, std::size_t used, std::size_t width, float* out,
                    std::size_t out_stride);
};

extern const Bodies plain_bodies;
extern const Bodies avx2_bodies;
extern const Bodies avx512_bodies;

const Bodies& bodies_of(Isa isa);
const GemmBody& gemm_body_of(Isa isa);
const Int8Gemm& int8_gemm_of(Int8Unit unit);

}  // namespace moemill::cpu
