// Which prompts begin alike, found from all their tokens, exact to the token: an order in which each prompt stands
// behind the one that it shares most with. For the order of lots and the cache of prefixes. Pure; the answer depends on
// nothing but the prompts and their numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"

namespace moemill::schedule {

// Prompts that have fewer tokens in common do not begin alike: that is not worth a copied page, and all prompts of a
// run begin with the same token or two.
constexpr std::uint32_t least_shared_tokens = 16;

// A walk through the tree of the prompts' tokens, from each node to the branch with the lowest prompt first: where all
// prompts only share one beginning, and where they share nothing, the order of their numbers. Each branch is a run of
// neighbours. 8 bytes a prompt.
struct PrefixOrder {
  std::vector<std::uint32_t> prompts;  // every prompt once
  // At each place, the leading tokens that the prompt has in common with the one before it, which is the most that it
  // has in common with any prompt before it; 0 for fewer than asked for. A duplicate shares all its tokens.
  std::vector<std::uint32_t> shared_tokens;
};

PrefixOrder order_by_prefix(std::span<const std::span<const TokenId>> prompts,
                            std::uint32_t least_tokens = least_shared_tokens);

}  // namespace moemill::schedule
