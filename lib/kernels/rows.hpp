// Row-wise kernels around the matrix products: norms, rotation, SwiGLU, sums, softmax statistics. A kernel is a set of
// overloads, one per kind of stream; layers call them unqualified and the stream's type finds the body.
// Sums over a row follow one fixed 16-lane tree (lane l takes elements l, l+16, ...; then lanes fold 8, 4, 2, 1), so
// plain, AVX2 and AVX-512 bodies and any split by rows give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "base/numbers/bf16.hpp"
#include "base/rotary_pairs.hpp"
#include "base/rows.hpp"

namespace moemill {

namespace cpu {
class Stream;  // kernels/cpu/stream.hpp
}

// The part of every head that a rotation turns: head h of row r is `count` views of first.width values, `distance`
// values apart.
template <class Space = Host>
struct HeadRows {
  Rows<float, Space> first;  // [rows, rotated values] of head 0
  std::size_t count;
  std::size_t distance;
};

// What rows sum by groups: terms in the order of groups, each an output's row and its weight, and where groups end.
struct GroupTerms {
  Rows<const std::uint32_t> row_of;  // [rows, most terms]
  Rows<const float> weights;         // [rows, most terms]
  Rows<const std::uint32_t> ends;    // [rows, most terms] one past each group's last term; 0 after the last
};

// Sums of groups without a row that they are added to: sum s is over the terms [begin[s], begin[s + 1]).
struct GroupSums {
  Vector<const std::uint32_t> begin;   // [sums + 1]
  Vector<const std::uint32_t> row_of;  // [terms]
  Vector<const float> weights;         // [terms]
};

// The maximum and log(sum(exp(x))) of one row: logprob(i) = x[i] - log_sum_exp.
struct LogSumExp {
  float maximum;
  float log_sum_exp;
};

namespace cpu {

// y = (x * (1 / sqrt(mean(x^2) + eps))) * weight. Either output may be left out: `rounded` feeds matrix products,
// `exact` the router.
void rms_norm(Stream& stream, Rows<const float> x, Vector<const float> weight, float eps, Rows<bf16> rounded,
              Rows<float> exact);

// x += y, and then the norm of x; `exact` may be y.
void add_rms_norm(Stream& stream, Rows<float> x, Rows<const float> y, Vector<const float> weight, float eps,
                  Rows<bf16> rounded, Rows<float> exact);

void round_rows(Stream& stream, Rows<const float> x, Rows<bf16> out);
// x[r] = table[ids[r]]: the embedding. Ids were checked against the vocabulary.
void gather_rows(Stream& stream, Rows<const bf16> table, Vector<const std::int32_t> ids, Rows<float> x);
// x += y
void add_rows(Stream& stream, Rows<float> x, Rows<const float> y);
// x[r] = fma(scale[r], y[r], x[r]): one factor per row
void add_scaled_rows(Stream& stream, Rows<float> x, Rows<const float> y, Vector<const float> scale);
// x[r] += bias, one [width] for all rows
void add_bias(Stream& stream, Rows<float> x, Vector<const float> bias);
// x = clamp(x, -limit, limit)
void clamp_rows(Stream& stream, Rows<float> x, float limit);

// Rotary embedding in place. cosine and sine are [rows, rotated values / 2], already gathered by position. Each output
// is fma(a, c, -(b*s)) or fma(b, c, a*s).
void rotate(Stream& stream, const HeadRows<>& x, Rows<const float> cosine, Rows<const float> sine, RotaryPairs pairs);

// out = silu(gate) * up, rounded.
void swiglu(Stream& stream, Rows<const float> gate, Rows<const float> up, Rows<bf16> out);
// The clamped kind (gpt-oss): g = min(gate, limit), u = clamp(up, -limit, limit), out = (u + 1) * g * sigmoid(1.702 g),
// rounded.
void clamped_swiglu(Stream& stream, Rows<const float> gate, Rows<const float> up, float limit, Rows<bf16> out);

// out[r] (fp32) = fma over p ascending of weights[r, p] * y[row_of[r, p]] starting from `out` as it is: the routed
// experts' outputs of a token summed in the order of its picks.
void weighted_sum(Stream& stream, Rows<const bf16> y, Rows<const std::uint32_t> row_of, Rows<const float> weights,
                  Rows<float> out);

// The same outputs by groups of picks (model.expert_sum: groups): a group's sum is the product of its first pick's
// weight and output, then fma over its further picks in their order, rounded to bf16; out[r] (fp32) += the groups'
// sums, in the order of the groups. A group's sum that was made elsewhere is a group of one pick of weight 1.
void sum_of_groups(Stream& stream, Rows<const bf16> y, const GroupTerms& terms, Rows<float> out);
// Groups' sums [first, first + count) alone, each in the place of its first pick's output. No two of them share a row.
void group_sums(Stream& stream, Rows<bf16> y, const GroupSums& sums, std::size_t first, std::size_t count);
// The same on the calling thread, for hooks between pieces of other kernels.
void group_sums_alone(const Stream& stream, Rows<bf16> y, const GroupSums& sums, std::size_t first, std::size_t count);

// Softmax or sigmoid of each row, in place.
void softmax_rows(Stream& stream, Rows<float> x);
void sigmoid_rows(Stream& stream, Rows<float> x);
// out[r] = sigmoid(x[r] . weight), the products summed with fma in the 16-lane tree: the gate of a shared expert.
void sigmoid_dots(Stream& stream, Rows<const float> x, Vector<const float> weight, Vector<float> out);

// maxima[c] = the largest of x from maxima_chunk * c on, maxima_chunk of them or as many as there are. Returns whether
// all values are finite; where one is NaN, its chunk has any maximum.
constexpr std::size_t maxima_chunk = 64;
bool chunk_maxima(Stream& stream, std::span<const float> x, std::span<float> maxima);

LogSumExp log_sum_exp(Stream& stream, std::span<const float> x);
LogSumExp log_sum_exp(Stream& stream, std::span<const float> x, float maximum);  // where the maximum is known
// What a sum of exp(x[i] - maximum) makes.
LogSumExp log_of_sum(float maximum, float sum);
// p[i] = exp((x[i] - maximum) * scale), and their sum by the 16-lane tree; p may be empty, which gives the sum alone.
float exp_row(Stream& stream, std::span<const float> x, float maximum, float scale, std::span<float> p);

// The host's values in the memory of the stream's kernels. Those of the CPU read them where they are; the buffer is for
// a stream with a memory of its own.
template <class T>
Vector<const T> upload(Stream&, std::span<const T> from, Buffer<T>&) {
  return {from.data(), from.size()};
}
// Values to the host's memory, row after row without gaps.
template <class T>
void download(Stream&, Rows<const T> from, T* out) {
  for (std::size_t r = 0; r < from.rows; ++r) {
    for (std::size_t i = 0; i < from.width; ++i) *out++ = from.row(r)[i];
  }
}

}  // namespace cpu
}  // namespace moemill
