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

// A hash of a prompt's first least_shared_tokens tokens; `no_head` unless it has more.
constexpr std::uint64_t no_head = 0;
std::uint64_t hash_of_head(std::span<const TokenId> tokens);
// [heads] whether another prompt of the run has the same head. Takes 40 bytes a head while it runs; collective.
std::vector<bool> repeated_heads(const Comm& world, std::span<const std::uint64_t> heads);

// A prompt with a repeated head.
struct SurveyedPrompt {
  schedule::PromptSize size;  // with its tokens counted
  ShardId shard;
  std::uint64_t head = no_head;
};

// The prompts that begin like others, of all ranks, in the order in which they are to be dealt: what begins alike
// stands together, sorted by tokens, behind those that are begun; the places are alike on all ranks, and each rank has
// the BranchPrompts of some.
struct PrefixSurvey {
  std::vector<schedule::PlacedPrompt> places;
  std::vector<schedule::BranchPrompt> mine;  // of places from `first_mine` on
  std::uint64_t first_mine = 0;
};

// `mine` are this rank's prompts with repeated heads; `tokens_of` gives the tokens of some of them, and may throw. Two
// prompts with heads of equal hash and different tokens do no harm. Ranks take the tokens of the prompts whose heads
// they own, but no more than `most_tokens`: of longer ones the beginning decides. Collective; AgreedFailure if
// `tokens_of` fails on a rank.
using TokensOf = std::function<std::vector<std::vector<TokenId>>(std::span<const SurveyedPrompt>)>;
PrefixSurvey survey_prefixes(const Comm& world, std::span<const SurveyedPrompt> mine, const TokensOf& tokens_of,
                             std::uint64_t most_tokens = std::uint64_t{64} << 20);

}  // namespace moemill::mill
