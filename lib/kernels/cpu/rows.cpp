#include "kernels/rows.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "kernels/cpu/bodies.hpp"
#include "kernels/cpu/stream.hpp"
#include "kernels/math.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::cpu {

namespace {

// Rows a range must have before another thread is worth waking: about 16 thousand values.
std::size_t grain_of(std::size_t width) { return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(width, 1)); }

template <class Body>
void for_rows(Stream& stream, std::size_t rows, std::size_t width, Body body) {
  const std::size_t grain = grain_of(width);
  auto range = [&](std::size_t begin, std::size_t end, int thread) {
    for (std::size_t r = begin; r < end;) {
      for (const std::size_t stop = std::min(end, r + grain); r < stop; ++r) body(r);
      stream.between_pieces(thread);
    }
  };
  stream.team().parallel_for(rows, grain, range);
}

void sum_group(const Stream& stream, Rows<bf16> y, const GroupSums& sums, std::size_t s) {
  const std::uint32_t begin = sums.begin.data[s], end = sums.begin.data[s + 1];
  const std::uint32_t* row_of = sums.row_of.data + begin;
  stream.bodies().group_sum(y.data, y.stride, row_of, sums.weights.data + begin, end - begin, y.width,
                            y.row(row_of[0]));
}

}  // namespace

void rms_norm(Stream& stream, Rows<const float> x, Vector<const float> weight, float eps, Rows<bf16> rounded,
              Rows<float> exact) {
  expect(weight.size == x.width, "rms_norm: one weight per value");
  for_rows(stream, x.rows, x.width, [&](std::size_t r) {
    stream.bodies().rms_norm(x.row(r), x.width, weight.data, eps, rounded ? rounded.row(r) : nullptr,
                             exact ? exact.row(r) : nullptr);
  });
}

void add_rms_norm(Stream& stream, Rows<float> x, Rows<const float> y, Vector<const float> weight, float eps,
                  Rows<bf16> rounded, Rows<float> exact) {
  expect(weight.size == x.width, "add_rms_norm: one weight per value");
  for_rows(stream, x.rows, x.width, [&](std::size_t r) {
    stream.bodies().add(x.row(r), y.row(r), x.width);
    stream.bodies().rms_norm(x.row(r), x.width, weight.data, eps, rounded ? rounded.row(r) : nullptr,
                             exact ? exact.row(r) : nullptr);
  });
}

void round_rows(Stream& stream, Rows<const float> x, Rows<bf16> out) {
  for_rows(stream, x.rows, x.width, [&](std::size_t r) { stream.bodies().round(x.row(r), x.width, out.row(r)); });
}

void gather_rows(Stream& stream, Rows<const bf16> table, Vector<const std::int32_t> ids, Rows<float> x) {
  expect(ids.size >= x.rows, "gather_rows: one id per row");
  for_rows(stream, x.rows, x.width, [&](std::size_t r) {
    stream.bodies().widen(table.row(static_cast<std::size_t>(ids.data[r])), x.width, x.row(r));
  });
}

void add_rows(Stream& stream, Rows<float> x, Rows<const float> y) {
  for_rows(stream, x.rows, x.width, [&](std::size_t r) { stream.bodies().add(x.row(r), y.row(r), x.width); });
}

void add_scaled_rows(Stream& stream, Rows<float> x, Rows<const float> y, Vector<const float> scale) {
  expect(scale.size >= x.rows, "add_scaled_rows: one factor per row");
  for_rows(stream, x.rows, x.width,
           [&](std::size_t r) { stream.bodies().add_scaled(x.row(r), y.row(r), scale.data[r], x.width); });
}

void add_bias(Stream& stream, Rows<float> x, Vector<const float> bias) {
  expect(bias.size == x.width, "add_bias: one value per column");
  for_rows(stream, x.rows, x.width, [&](std::size_t r) { stream.bodies().add(x.row(r), bias.data, x.width); });
}

void clamp_rows(Stream& stream, Rows<float> x, float limit) {
  for_rows(stream, x.rows, x.width, [&](std::size_t r) {
    for (float& value : std::span(x.row(r), x.width)) value = std::clamp(value, -limit, limit);
  });
}

void rotate(Stream& stream, const HeadRows<>& x, Rows<const float> cosine, Rows<const float> sine, RotaryPairs pairs) {
  auto turn = pairs == RotaryPairs::Adjacent ? stream.bodies().rotate_adjacent : stream.bodies().rotate_halves;
  for_rows(stream, x.first.rows, x.count * x.first.width, [&](std::size_t r) {
    for (std::size_t h = 0; h < x.count; ++h) {
      turn(x.first.row(r) + h * x.distance, x.first.width, cosine.row(r), sine.row(r));
    }
  });
}

void swiglu(Stream& stream, Rows<const float> gate, Rows<const float> up, Rows<bf16> out) {
  for_rows(stream, out.rows, out.width,
           [&](std::size_t r) { stream.bodies().swiglu(gate.row(r), up.row(r), out.width, out.row(r)); });
}

void clamped_swiglu(Stream& stream, Rows<const float> gate, Rows<const float> up, float limit, Rows<bf16> out) {
  for_rows(stream, out.rows, out.width, [&](std::size_t r) {
    stream.bodies().clamped_swiglu(gate.row(r), up.row(r), out.width, limit, out.row(r));
  });
}

void weighted_sum(Stream& stream, Rows<const bf16> y, Rows<const std::uint32_t> row_of, Rows<const float> weights,
                  Rows<float> out) {
  const std::size_t picks = row_of.width;
  for_rows(stream, out.rows, picks * out.width, [&](std::size_t r) {
    stream.bodies().weighted_sum(y.data, y.stride, row_of.row(r), weights.row(r), picks, out.width, out.row(r));
  });
}

void group_sums(Stream& stream, Rows<bf16> y, const GroupSums& sums, std::size_t first, std::size_t count) {
  for_rows(stream, count, 2 * y.width, [&](std::size_t s) { sum_group(stream, y, sums, first + s); });
}

void group_sums_alone(const Stream& stream, Rows<bf16> y, const GroupSums& sums, std::size_t first, std::size_t count) {
  const FlushSubnormals flush;  // as the team does
  for (std::size_t s = first; s < first + count; ++s) sum_group(stream, y, sums, s);
}

void sum_of_groups(Stream& stream, Rows<const bf16> y, const GroupTerms& terms, Rows<float> out) {
  const std::size_t most = terms.row_of.width;
  for_rows(stream, out.rows, most * out.width, [&](std::size_t r) {
    stream.bodies().sum_of_groups(y.data, y.stride, terms.row_of.row(r), terms.weights.row(r), terms.ends.row(r), most,
                                  out.width, out.row(r));
  });
}

void softmax_rows(Stream& stream, Rows<float> x) {
  for_rows(stream, x.rows, x.width, [&](std::size_t r) {
    float* row = x.row(r);
    const float sum = stream.bodies().exp_sum(row, x.width, stream.bodies().maximum(row, x.width), 1.0f, row);
    stream.bodies().divide(row, x.width, sum);
  });
}

void sigmoid_rows(Stream& stream, Rows<float> x) {
  for_rows(stream, x.rows, x.width, [&](std::size_t r) { stream.bodies().sigmoid(x.row(r), x.width); });
}

void sigmoid_dots(Stream& stream, Rows<const float> x, Vector<const float> weight, Vector<float> out) {
  expect(weight.size == x.width && out.size >= x.rows, "sigmoid_dots: one weight per value, one result per row");
  for_rows(stream, x.rows, x.width, [&](std::size_t r) {
    out.data[r] = stream.bodies().dot(x.row(r), weight.data, x.width);
    stream.bodies().sigmoid(out.data + r, 1);
  });
}

bool chunk_maxima(Stream& stream, std::span<const float> x, std::span<float> maxima) {
  expect(maxima.size() == divide_up(x.size(), maxima_chunk), "chunk_maxima: one maximum per chunk");
  const FlushSubnormals flush;
  return stream.bodies().chunk_maxima(x.data(), x.size(), maxima.data()) == 0;
}

LogSumExp log_sum_exp(Stream& stream, std::span<const float> x) {
  const FlushSubnormals flush;
  return log_sum_exp(stream, x, stream.bodies().maximum(x.data(), x.size()));
}

LogSumExp log_sum_exp(Stream& stream, std::span<const float> x, float maximum) {
  const FlushSubnormals flush;
  return log_of_sum(maximum, stream.bodies().exp_total(x.data(), x.size(), maximum));
}

LogSumExp log_of_sum(float maximum, float sum) {
  return {maximum, static_cast<float>(double{maximum} + math::log(double{sum}))};
}

float exp_row(Stream& stream, std::span<const float> x, float maximum, float scale, std::span<float> p) {
  const FlushSubnormals flush;
  return stream.bodies().exp_sum(x.data(), x.size(), maximum, scale, p.data());
}

}  // namespace moemill::cpu
