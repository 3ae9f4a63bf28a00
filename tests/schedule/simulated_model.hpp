// The model of simulations: a token is a hash of all tokens that a row sees. Its answers follow from the definition
// alone (by_definition) and from the pages of a scheduler (simulate), so that they can be compared.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/numbers/random.hpp"
#include "schedule/simulation.hpp"

namespace moemill::schedule::test {

inline std::uint64_t mix(std::uint64_t hash, std::uint64_t value) { return philox(hash, value)[0] | hash << 32; }

inline TokenId next_token(std::uint64_t prefix_hash, std::uint64_t seed, std::uint64_t number) {
  return static_cast<TokenId>(mix(mix(prefix_hash, seed), number) % 1000);
}

// Exact in a float, and never that of a token which has not been scored.
constexpr float not_scored = -1;
inline float score_of(std::uint64_t hash) { return static_cast<float>(hash >> 40); }

inline FinishReason verdict(TokenId token, std::size_t tokens, std::uint32_t max_tokens) {
  if (token % 100 == 7) return FinishReason::Stop;
  return tokens >= max_tokens ? FinishReason::Length : FinishReason::None;
}

// The tokens that the row at the end of `tokens` sees: all in full layers, the last few in windowed layers.
inline std::uint64_t sight(std::uint64_t prefix_hash, std::span<const TokenId> tokens,
                           const SchedulerSettings& layers) {
  std::uint64_t hash = layers.pages > 0 ? prefix_hash : 2;
  if (layers.window == 0) return hash;
  for (TokenId token : tokens.last(std::min<std::size_t>(tokens.size(), layers.window)))
    hash = mix(hash, static_cast<std::uint64_t>(token));
  return hash;
}

}  // namespace moemill::schedule::test
