// Row-wise kernels around the matrix products: norms, rotation, SwiGLU, sums, softmax statistics.
// Sums over a row follow one fixed 16-lane tree (lane l takes elements l, l+16, ...; then lanes fold 8, 4, 2, 1), so
// plain, AVX2 and AVX-512 bodies and any split by rows give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bf16.hpp"
#include "base/rotary_pairs.hpp"
#include "kernels/stream.hpp"

namespace moemill::cpu {

// y = (x * (1 / sqrt(mean(x^2) + eps))) * weight. Either output may be null: `rounded` feeds matrix products, `exact`
// the router.
void rms_norm(Stream& stream, const float* x, std::size_t x_stride, std::size_t rows, std::size_t width,
              const float* weight, float eps, bf16* rounded, std::size_t rounded_stride, float* exact,
              std::size_t exact_stride);

void round_rows(Stream& stream, const float* x, std::size_t x_stride, std::size_t rows, std::size_t width, bf16* out,
                std::size_t out_stride);
// x[r] = table[ids[r]]: the embedding. Ids are already checked against the vocabulary.
void gather_rows(Stream& stream, const bf16* table, std::size_t width, const std::int32_t* ids, std::size_t rows,
                 float* x, std::size_t x_stride);
// x += y
void add_rows(Stream& stream, float* x, std::size_t x_stride, const float* y, std::size_t y_stride, std::size_t rows,
              std::size_t width);
// x[r] = fma(scale[r], y[r], x[r]): one factor a row
void add_scaled_rows(Stream& stream, float* x, std::size_t x_stride, const float* y, std::size_t y_stride,
                     const float* scale, std::size_t rows, std::size_t width);
// x += bias[width], one bias for all rows
void add_bias(Stream& stream, float* x, std::size_t x_stride, const float* bias, std::size_t rows, std::size_t width);

// x[r] += bias_of_row[r][width]: rows of several experts, each with its own
void add_biases(Stream& stream, float* x, std::size_t x_stride, const float* const* bias_of_row, std::size_t rows,
                std::size_t width);

// Rotary embedding in place on `heads` vectors of `dim` values a row, at x + r * x_stride + h * head_stride.
// cosine and sine are [rows][dim / 2] (already gathered by position). Adjacent: pairs (2i, 2i+1), DeepSeek's; Halves:
// pairs (i, i + dim/2), everyone else's. Each output is fma(a, c, -(b*s)) resp. fma(b, c, a*s).
using moemill::RotaryPairs;
void rotate(Stream& stream, float* x, std::size_t x_stride, std::size_t head_stride, std::size_t rows,
            std::size_t heads, std::size_t dim, const float* cosine, const float* sine, RotaryPairs pairs);

// out = silu(gate) * up, rounded; gate = gate_up[., 0 .. width), up = gate_up[., up_offset .. up_offset + width).
void swiglu(Stream& stream, const float* gate_up, std::size_t stride, std::size_t up_offset, std::size_t rows,
            std::size_t width, bf16* out, std::size_t out_stride);

// The clamped kind (gpt-oss): g = min(gate, limit), u = clamp(up, -limit, limit), out = (u + 1) * g * sigmoid(1.702 g),
// rounded.
void clamped_swiglu(Stream& stream, const float* gate_up, std::size_t stride, std::size_t up_offset, std::size_t rows,
                    std::size_t width, float limit, bf16* out, std::size_t out_stride);

// out[r] (fp32) = fma over p ascending of weights[r * picks + p] * y[row_of[r * picks + p]] starting from `out` as it
// is: the routed experts' outputs of a token summed in the order of its picks. y rows are bf16.
void weighted_sum(Stream& stream, const bf16* y, std::size_t y_stride, const std::uint32_t* row_of,
                  const float* weights, std::size_t rows, std::size_t picks, std::size_t width, float* out,
                  std::size_t out_stride);

// Softmax (in place) or sigmoid (in place) of each row.
void softmax_rows(Stream& stream, float* x, std::size_t stride, std::size_t rows, std::size_t width);
void sigmoid_rows(Stream& stream, float* x, std::size_t stride, std::size_t rows, std::size_t width);
// out[r] = sigmoid(x[r] . weight), the products summed with fma in the 16-lane tree: the gate of a shared expert.
void sigmoid_dots(Stream& stream, const float* x, std::size_t stride, std::size_t rows, std::size_t width,
                  const float* weight, float* out);

// max and log(sum(exp(x))) of one row: logprob(i) = x[i] - log_sum_exp.
struct LogSumExp {
  float maximum;
  float log_sum_exp;
};
LogSumExp log_sum_exp(Stream& stream, const float* x, std::size_t width);
// Many rows, split over the team.
void log_sum_exp_rows(Stream& stream, const float* x, std::size_t stride, std::size_t rows, std::size_t width,
                      LogSumExp* out);
// p[i] = exp((x[i] - maximum) * scale), and their sum by the 16-lane tree.
float exp_row(Stream& stream, const float* x, std::size_t width, float maximum, float scale, float* p);

}  // namespace moemill::cpu
