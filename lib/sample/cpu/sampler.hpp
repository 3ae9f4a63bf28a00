// Logits to next tokens and log-probabilities on the CPU, many rows at a time, split over the team by rows. Called by
// layers/forward. Same bits for any threads, batch and instruction set: a draw depends on its own row, parameters,
// history, seed and place alone. The definition is in sample/requests.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/rows.hpp"
#include "kernels/cpu/stream.hpp"
#include "sample/requests.hpp"

namespace moemill::cpu {

class Sampler {
 public:
  Sampler(Stream& stream, std::uint32_t vocabulary);
  ~Sampler();
  // logits: [rows, vocabulary] of the step's wanted rows from `first` on, among them those of all requests; not
  // changed.
  void sample(Rows<const float> logits, std::uint32_t first, std::span<const sample::SampleRequest> requests,
              std::span<sample::SampleResult> results);
  void score(Rows<const float> logits, std::uint32_t first, std::span<const sample::ScoreRequest> requests,
             std::span<float> logprobs);

 private:
  struct Workspace;
  Stream& stream_;
  std::uint32_t vocabulary_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;  // [threads]
};

}  // namespace moemill::cpu
