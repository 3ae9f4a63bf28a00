// Requests about the rows of logits that a step ends in, and their results: next tokens and
// log-probabilities. Logits themselves never leave the backend. Made by generate/generator, answered by a backend's
// sampler.
//
// The definition of a draw. Repetition penalty over prompt and generated tokens (divides positive logits, multiplies
// others), then presence and frequency over generated ones; stop tokens are masked before min_tokens. Temperature below
// 1e-5 takes the largest logit (ties: lowest id). Else p = exp((logit - largest) / temperature); min_p keeps p >=
// min_p; top_k keeps the k first by (p descending, id ascending). From here on p is rounded to whole numbers of 2^-40
// (kernels/fixed_point.hpp), so that no order of addition matters. top_p keeps the shortest run, in the same order,
// whose sum reaches floor(top_p * total); the token is the first kept one, by id, whose cumulative sum exceeds
// floor(u * total of the kept). u is uniform with 53 bits from Philox with the sample's seed and the token's number in
// its completion.
#pragma once

#include <cstdint>
#include <span>

#include "base/ids.hpp"
#include "base/run_config.hpp"

namespace moemill::sample {

struct TokenLogprob {
  TokenId token = -1;
  float logprob = 0;
};

struct SampleRequest {
  std::uint32_t row = 0;  // index into the step's logit_rows
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

// The log-probability of one token: log softmax(logits of the row)[target]. Scores of prompt tokens are made of these;
// the first token of a prompt has no row and no request.
struct ScoreRequest {
  std::uint32_t row = 0;  // index into the step's logit_rows
  TokenId target = 0;
};

// All requests about one step, each list by ascending row.
struct Draws {
  std::span<const ScoreRequest> scores;
  std::span<float> logprobs;  // [scores]
  std::span<const SampleRequest> samples;
  std::span<SampleResult> results;  // [samples]
};

}  // namespace moemill::sample
