// Logits to next tokens, many rows at a time, split over the team by rows. Called by the mill with what the scheduler's
// uses() say. Same bits for any threads, batch and instruction set: a draw depends on its own row, parameters, history,
// seed and place alone.
//
// The definition. Repetition penalty over prompt and generated tokens (divides positive logits, multiplies others),
// then presence and frequency over generated ones; stop tokens are masked before min_tokens. Temperature below 1e-5
// takes the largest logit (ties: lowest id). Else p = exp((logit - largest) / temperature); min_p keeps p >= min_p;
// top_k keeps the k first by (p descending, id ascending); top_p keeps the shortest run of those, in the same order,
// that reaches top_p of what is left. The token is the first kept one, by id, whose cumulative p exceeds u times the
// total; u is uniform from Philox with the sample's seed and the token's number in its completion.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "base/run_config.hpp"
#include "kernels/stream.hpp"

namespace moemill::sample {

struct TokenLogprob {
  TokenId token = -1;
  float logprob = 0;
};

struct SampleRequest {
  const float* logits = nullptr;  // [vocabulary], the model's own; not changed
  const SamplingParams* params = nullptr;
  std::span<const TokenId> prompt;
  std::span<const TokenId> generated;    // so far; its size is the number of the token to draw
  std::span<const TokenId> stop_tokens;  // sample/stopping.hpp
  std::uint64_t seed = 0;                // of the sample
  // Filled with the best tokens of the model's own distribution, best first, ties to the lowest id: give
  // min(*params->logprobs, vocabulary) places, none when logprobs are off.
  std::span<TokenLogprob> top;
};

struct SampleResult {
  TokenId token = -1;
  bool finite = false;  // false: a logit is NaN or infinite (or every token is masked); nothing else is set
  float logprob = 0;    // of the model's own distribution; NaN when params->logprobs is off
};

class Sampler {
 public:
  Sampler(cpu::Stream& stream, std::uint32_t vocabulary);
  ~Sampler();
  void sample(std::span<const SampleRequest> requests, std::span<SampleResult> results);

 private:
  struct Workspace;
  cpu::Stream& stream_;
  std::uint32_t vocabulary_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;  // [threads]
};

// logprobs[r] = log softmax(logits row r)[targets[r]]: scores of prompt tokens. The first token of a prompt has no row:
// its value is NaN, set by the caller.
void score_rows(cpu::Stream& stream, const float* logits, std::size_t stride, std::span<const TokenId> targets,
                std::uint32_t vocabulary, float* logprobs);

}  // namespace moemill::sample
