// Which prompts of a run begin alike: found from the tokens of all of them when an attempt begins, each rank looking at
// its share. Used by job/estimate.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "schedule/prefix_order.hpp"
#include "schedule/prefix_plan.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// A prompt that might begin like another one: it has more than schedule::least_shared_tokens tokens.
struct SurveyedPrompt {
  schedule::PromptSize size;  // with its tokens counted
  ShardId shard;
  std::uint64_t head = 0;  // hash of its first least_shared_tokens tokens
};
std::uint64_t hash_of_head(std::span<const TokenId> tokens);

// The prompts that begin like others, of all ranks, in the order in which they are to be dealt: what begins alike
// stands together, sorted by tokens, behind those that are begun; the places are alike on all ranks, and each rank has
// the BranchPrompts of some.
struct PrefixSurvey {
  std::vector<schedule::PlacedPrompt> places;
  std::vector<schedule::BranchPrompt> mine;  // of places from `first_mine` on
  std::uint64_t first_mine = 0;
};

// `tokens_of` gives the tokens of prompts mine[first] .. mine[first + count - 1], and is called for those only whose
// head another prompt has; it may throw. Two prompts with heads of equal hash and different tokens do no harm.
// Takes 16 bytes a prompt while it runs, and the tokens of those with a head in common, but no more than `most_tokens`
// of them a rank: of longer ones the beginning decides. Collective; AgreedFailure if `tokens_of` fails on a rank.
using TokensOf = std::function<std::vector<std::vector<TokenId>>(std::span<const SurveyedPrompt>)>;
PrefixSurvey survey_prefixes(const Comm& world, std::span<const SurveyedPrompt> mine, const TokensOf& tokens_of,
                             std::uint64_t most_tokens = std::uint64_t{64} << 20);

}  // namespace moemill::mill
