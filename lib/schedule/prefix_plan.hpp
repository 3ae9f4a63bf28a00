// The prompts of a run that begin alike, in the order in which they are dealt. All other prompts stay in the order of
// the file. Made by job/prefix_survey when an attempt begins and stored nowhere; every rank has the same. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "schedule/lots.hpp"

namespace moemill::schedule {

struct PlacedPrompt {
  std::uint64_t prompt = 0;  // row of the input
  std::uint32_t samples = 0;
  // Tokens that it has in common with the prompt at the place before; 0 where prompts begin that share nothing with
  // those before.
  std::uint32_t shared_tokens = 0;
};

class PrefixPlan {
 public:
  PrefixPlan() = default;
  // `prompts` is the number of the input's rows.
  PrefixPlan(std::vector<PlacedPrompt> places, std::uint64_t prompts);

  std::span<const PlacedPrompt> places() const { return places_; }
  std::span<const PlacedPrompt> of(const Lot& lot) const;
  // Whether a prompt is dealt by its place; otherwise it is dealt in the order of the file.
  bool has(std::uint64_t prompt) const { return !placed_.empty() && placed_[prompt]; }
  // Tokens that the last prompt of `done` has in common with the first of `next`, as far as the places between them
  // say; 0 unless both are dealt by place.
  std::uint32_t shared_tokens(const Lot& done, const Lot& next) const;

 private:
  std::vector<PlacedPrompt> places_;
  std::vector<bool> placed_;  // [rows of the input]; empty without places
};

// A prompt that begins like others.
struct BranchPrompt {
  PromptSize size;
  ShardId shard;
  std::uint32_t shared_tokens = 0;  // as PlacedPrompt's
  std::uint64_t order = 0;          // the lowest row among the prompts that begin alike

  // Counts what they share once.
  std::uint64_t own_tokens() const {
    return size.prompt_tokens - std::min<std::uint64_t>(shared_tokens, size.prompt_tokens);
  }
  std::uint64_t work() const { return size.work() - size.prompt_tokens + own_tokens(); }
};

// Prompts at places from `first_place` on, as lots of up to 1/32 of a rank's fair share of work, or up to half of one
// where less would not be four times what a cut may have to compute again. What begins alike stays together if it fits,
// else it is cut where neighbours have least in common, and a large prompt into samples. Prompts that are begun have
// one shard's lots to themselves, because only its keeper knows what is missing.
std::vector<Lot> cut_branches(std::span<const BranchPrompt> prompts, const WorkPlan& plan, std::uint64_t first_place);

}  // namespace moemill::schedule
