#include "kernels/rows.hpp"

#include <algorithm>
#include <functional>

#include "kernels/bodies.hpp"
#include "kernels/math.hpp"

namespace moemill::cpu {

namespace {

// Rows a range must have before another thread is worth waking: about 16 thousand values.
std::size_t grain_of(std::size_t width) { return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(width, 1)); }

template <class Body>
void for_rows(Stream& stream, std::size_t rows, std::size_t width, Body body) {
  auto range = [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t r = begin; r < end; ++r) body(r);
  };
  stream.team().parallel_for(rows, grain_of(width), std::ref(range));
}

LogSumExp log_sum_exp_row(const Bodies& bodies, const float* x, std::size_t width) {
  const float maximum = bodies.maximum(x, width);
  const float sum = bodies.exp_sum(x, width, maximum, 1.0f, nullptr);
  return {maximum, static_cast<float>(double{maximum} + math::log(double{sum}))};
}

}  // namespace

void rms_norm(Stream& stream, const float* x, std::size_t x_stride, std::size_t rows, std::size_t width,
              const float* weight, float eps, bf16* rounded, std::size_t rounded_stride, float* exact,
              std::size_t exact_stride) {
  for_rows(stream, rows, width, [&](std::size_t r) {
    stream.bodies().rms_norm(x + r * x_stride, width, weight, eps, rounded ? rounded + r * rounded_stride : nullptr,
                             exact ? exact + r * exact_stride : nullptr);
  });
}

void round_rows(Stream& stream, const float* x, std::size_t x_stride, std::size_t rows, std::size_t width, bf16* out,
                std::size_t out_stride) {
  for_rows(stream, rows, width,
           [&](std::size_t r) { stream.bodies().round(x + r * x_stride, width, out + r * out_stride); });
}

void gather_rows(Stream& stream, const bf16* table, std::size_t width, const std::int32_t* ids, std::size_t rows,
                 float* x, std::size_t x_stride) {
  for_rows(stream, rows, width, [&](std::size_t r) {
    stream.bodies().widen(table + static_cast<std::size_t>(ids[r]) * width, width, x + r * x_stride);
  });
}

void add_rows(Stream& stream, float* x, std::size_t x_stride, const float* y, std::size_t y_stride, std::size_t rows,
              std::size_t width) {
  for_rows(stream, rows, width, [&](std::size_t r) { stream.bodies().add(x + r * x_stride, y + r * y_stride, width); });
}

void add_scaled_rows(Stream& stream, float* x, std::size_t x_stride, const float* y, std::size_t y_stride,
                     const float* scale, std::size_t rows, std::size_t width) {
  for_rows(stream, rows, width,
           [&](std::size_t r) { stream.bodies().add_scaled(x + r * x_stride, y + r * y_stride, scale[r], width); });
}

void add_bias(Stream& stream, float* x, std::size_t x_stride, const float* bias, std::size_t rows, std::size_t width) {
  for_rows(stream, rows, width, [&](std::size_t r) { stream.bodies().add(x + r * x_stride, bias, width); });
}

void add_biases(Stream& stream, float* x, std::size_t x_stride, const float* const* bias_of_row, std::size_t rows,
                std::size_t width) {
  for_rows(stream, rows, width, [&](std::size_t r) { stream.bodies().add(x + r * x_stride, bias_of_row[r], width); });
}

void rotate(Stream& stream, float* x, std::size_t x_stride, std::size_t head_stride, std::size_t rows,
            std::size_t heads, std::size_t dim, const float* cosine, const float* sine, RotaryPairs pairs) {
  auto turn = pairs == RotaryPairs::Adjacent ? stream.bodies().rotate_adjacent : stream.bodies().rotate_halves;
  for_rows(stream, rows, heads * dim, [&](std::size_t r) {
    for (std::size_t h = 0; h < heads; ++h) {
      turn(x + r * x_stride + h * head_stride, dim, cosine + r * (dim / 2), sine + r * (dim / 2));
    }
  });
}

void swiglu(Stream& stream, const float* gate_up, std::size_t stride, std::size_t up_offset, std::size_t rows,
            std::size_t width, bf16* out, std::size_t out_stride) {
  for_rows(stream, rows, width, [&](std::size_t r) {
    const float* gate = gate_up + r * stride;
    stream.bodies().swiglu(gate, gate + up_offset, width, out + r * out_stride);
  });
}

void clamped_swiglu(Stream& stream, const float* gate_up, std::size_t stride, std::size_t up_offset, std::size_t rows,
                    std::size_t width, float limit, bf16* out, std::size_t out_stride) {
  for_rows(stream, rows, width, [&](std::size_t r) {
    const float* gate = gate_up + r * stride;
    stream.bodies().clamped_swiglu(gate, gate + up_offset, width, limit, out + r * out_stride);
  });
}

void weighted_sum(Stream& stream, const bf16* y, std::size_t y_stride, const std::uint32_t* row_of,
                  const float* weights, std::size_t rows, std::size_t picks, std::size_t width, float* out,
                  std::size_t out_stride) {
  for_rows(stream, rows, picks * width, [&](std::size_t r) {
    stream.bodies().weighted_sum(y, y_stride, row_of + r * picks, weights + r * picks, picks, width,
                                 out + r * out_stride);
  });
}

void softmax_rows(Stream& stream, float* x, std::size_t stride, std::size_t rows, std::size_t width) {
  for_rows(stream, rows, width, [&](std::size_t r) {
    float* row = x + r * stride;
    const float sum = stream.bodies().exp_sum(row, width, stream.bodies().maximum(row, width), 1.0f, row);
    stream.bodies().divide(row, width, sum);
  });
}

void sigmoid_rows(Stream& stream, float* x, std::size_t stride, std::size_t rows, std::size_t width) {
  for_rows(stream, rows, width, [&](std::size_t r) { stream.bodies().sigmoid(x + r * stride, width); });
}

void sigmoid_dots(Stream& stream, const float* x, std::size_t stride, std::size_t rows, std::size_t width,
                  const float* weight, float* out) {
  for_rows(stream, rows, width, [&](std::size_t r) {
    out[r] = stream.bodies().dot(x + r * stride, weight, width);
    stream.bodies().sigmoid(out + r, 1);
  });
}

LogSumExp log_sum_exp(Stream& stream, const float* x, std::size_t width) {
  return log_sum_exp_row(stream.bodies(), x, width);
}

void log_sum_exp_rows(Stream& stream, const float* x, std::size_t stride, std::size_t rows, std::size_t width,
                      LogSumExp* out) {
  for_rows(stream, rows, width,
           [&](std::size_t r) { out[r] = log_sum_exp_row(stream.bodies(), x + r * stride, width); });
}

float exp_row(Stream& stream, const float* x, std::size_t width, float maximum, float scale, float* p) {
  return stream.bodies().exp_sum(x, width, maximum, scale, p);
}

}  // namespace moemill::cpu
