#include "layers/cpu/head.hpp"

#include <limits>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "layers/cpu/attention/padded_stride.hpp"

namespace moemill::cpu {

constexpr std::size_t slack_bytes = 256;  // kernels may read whole vectors past the last value

Head::Head(Stream& stream, const model::ModelConfig& config, const model::Weights& weights)
    : stream_(stream), config_(config), weights_(weights) {}

void Head::reserve(std::size_t rows) {
  normed_.reserve(rows * config_.hidden);
  maxima_.reserve(rows_at_a_time * divide_up<std::size_t>(config_.vocabulary, maxima_chunk));
  const std::size_t bytes = rows_at_a_time * padded_stride(config_.vocabulary) * sizeof(float) + slack_bytes;
  if (logits_.size() < bytes) logits_ = MappedMemory(bytes, "logits");
}

// Runs of neighbouring rows are normed in one call.
void Head::keep(Rows<const float> hidden, std::span<const std::uint32_t> wanted) {
  rows_ = wanted.size();
  normed_.reserve(rows_ * hidden.width);
  const Rows<bf16> normed = normed_.rows(rows_, hidden.width);
  for (std::size_t from = 0, to = 0; from < wanted.size(); from = to) {
    expect(wanted[from] < hidden.rows, "step: logit rows are rows of the step");
    for (to = from + 1; to < wanted.size() && wanted[to] == wanted[to - 1] + 1;) ++to;
    rms_norm(stream_, hidden.range(wanted[from], to - from), weights_.final_norm, config_.norm_eps,
             normed.range(from, to - from), {});
  }
}

// The maxima of the logits' chunks are found while a part of a product lies in the cache.
Logits Head::logits(std::size_t first, std::size_t count) {
  expect(first + count <= rows_ && count <= rows_at_a_time, "logits: of wanted rows of the last step");
  reserve(0);
  const std::size_t chunks = divide_up<std::size_t>(config_.vocabulary, maxima_chunk);
  const Rows<float> logits{reinterpret_cast<float*>(logits_.data()), count, config_.vocabulary,
                           padded_stride(config_.vocabulary)};
  const Rows<float> maxima = maxima_.rows(count, chunks);
  static_assert(epilogue_columns % maxima_chunk == 0);
  const auto finish = [&](const GemmPart& part) {
    for (std::size_t r = part.first_row; r < part.first_row + part.rows; ++r) {
      const std::span<const float> values(logits.row(r) + part.first_column, part.columns);
      float* at = maxima.row(r) + part.first_column / maxima_chunk;
      const bool finite = chunk_maxima(stream_, values, {at, divide_up(part.columns, maxima_chunk)});
      if (!finite) *at = std::numeric_limits<float>::quiet_NaN();
    }
  };
  gemm(stream_, normed_.rows(rows_, config_.hidden).range(first, count), weights_.head, logits, GemmEpilogue(finish));
  return {logits, maxima};
}

}  // namespace moemill::cpu
