// The end of the model on the CPU: the final norm of the wanted rows, and their logits. Called by layers/forward.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "kernels/cpu/stream.hpp"
#include "model/config.hpp"
#include "sample/cpu/logits.hpp"
#include "system/files/mapped_file.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::cpu {

class Head {
 public:
  Head(Stream& stream, const model::ModelConfig& config, const model::Weights& weights);

  void reserve(std::size_t rows);
  // Keeps the final norm of rows wanted[..] of the residual stream, which is [rows, hidden].
  void keep(Rows<const float> hidden, std::span<const std::uint32_t> wanted);
  std::size_t rows() const { return rows_; }
  // Logits of wanted rows [first, first + count): [count, vocabulary], valid until the next call. Callers take
  // rows_at_a_time of them, so that a long prompt's logits never exist at once.
  Logits logits(std::size_t first, std::size_t count);
  static constexpr std::size_t rows_at_a_time = 128;
  std::uint64_t workspace_bytes() const { return normed_.capacity_bytes() + maxima_.capacity_bytes() + logits_.size(); }

 private:
  Stream& stream_;
  const model::ModelConfig& config_;
  const model::Weights& weights_;
  std::size_t rows_ = 0;
  Buffer<bf16> normed_;   // [wanted rows, hidden]
  Buffer<float> maxima_;  // [a few, chunks of the vocabulary]
  MappedMemory logits_;   // [a few, vocabulary] of fp32, on huge pages: a panel of the product touches every row
};

}  // namespace moemill::cpu
