#include "layers/cpu/head.hpp"

#include "base/error.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "layers/cpu/attention/padded_stride.hpp"

namespace moemill::cpu {

Head::Head(Stream& stream, const model::ModelConfig& config, const model::Weights& weights)
    : stream_(stream), config_(config), weights_(weights) {}

void Head::reserve(std::size_t rows) {
  normed_.reserve(rows * config_.hidden);
  logits_.reserve(rows_at_a_time * whole_vectors(config_.vocabulary));
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

Rows<const float> Head::logits(std::size_t first, std::size_t count) {
  expect(first + count <= rows_, "logits: of wanted rows of the last step");
  const std::size_t stride = whole_vectors(config_.vocabulary);
  const Rows<float> logits{logits_.reserve(count * stride), count, config_.vocabulary, stride};
  gemm(stream_, normed_.rows(rows_, config_.hidden).range(first, count), weights_.head, logits);
  return logits;
}

}  // namespace moemill::cpu
