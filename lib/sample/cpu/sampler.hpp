// Turns rows of logits into next tokens and log-probabilities on the CPU; the threads of the team share the rows.
// Called by layers/forward. The results have the same bits for any number of threads, any batch and any instruction
// set: a draw depends only on its own row, parameters, history and seed, and on the token's number in its completion.
// The definition is in sample/requests.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/rows.hpp"
#include "kernels/cpu/stream.hpp"
#include "sample/cpu/logits.hpp"
#include "sample/requests.hpp"

namespace moemill::cpu {

class Sampler {
 public:
  Sampler(Stream& stream, std::uint32_t vocabulary);
  ~Sampler();
  // logits: [rows, vocabulary], rows `first` and following of the step's logit_rows. They must include the rows of all
  // requests.
  void sample(const Logits& logits, std::uint32_t first, std::span<const sample::SampleRequest> requests,
              std::span<sample::SampleResult> results);
  void score(const Logits& logits, std::uint32_t first, std::span<const sample::ScoreRequest> requests,
             std::span<float> logprobs);

 private:
  struct Workspace;
  Stream& stream_;
  std::uint32_t vocabulary_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;  // [threads]
};

}  // namespace moemill::cpu
