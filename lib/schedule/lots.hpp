// Lots: the pieces in which work is dealt to ranks. A shard is a file of a fixed range of prompts; a lot is as large as
// dealing needs. Lots follow from the missing samples and the number of ranks of an attempt and are stored nowhere, so
// each attempt has its own. Made by job/estimate, dealt by decide(). Every function here is pure.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/ids.hpp"

namespace moemill::schedule {

// A prompt with samples to generate. Sizes are estimates.
struct PromptSize {
  std::uint64_t prompt = 0;  // row of the input
  std::uint64_t prompt_tokens = 0;
  std::uint32_t samples = 0;     // those that are missing
  std::uint32_t max_tokens = 0;  // of a sample
  bool begun = false;            // the shard's journal has some of its rows
  bool placed = false;           // dealt by its place in the prefix plan, not in the order of the file
  std::uint64_t work() const { return prompt_tokens + std::uint64_t{samples} * max_tokens; }
};

// The missing samples of prompts first_prompt .. first_prompt + prompts - 1 of one shard, without those that are
// placed; or some samples of one prompt; or those of prompts that begin alike: of the places first_place .. first_place
// + prompts - 1 of the prefix plan, the first of which has first_prompt. They are of any shards, unless they are begun.
struct Lot {
  static constexpr std::uint64_t no_place = ~std::uint64_t{0};

  ShardId shard;              // of the first prompt
  std::uint32_t prompts = 0;  // rows or places, with those that are passed over
  std::uint32_t dealt = 0;    // of them, prompts with samples to generate
  std::uint64_t first_prompt = 0;
  std::uint32_t first_sample = 0;  // of a lot of one prompt: how many of its missing samples belong to lots before
  std::uint32_t sequences = 0;     // samples to generate
  std::uint64_t prompt_tokens = 0;
  std::uint64_t work = 0;  // prompt tokens + tokens to generate
  bool begun = false;      // only the shard's keeper knows which samples are missing; otherwise all are
  std::uint64_t first_place = no_place;
  std::uint64_t order = 0;  // of lots: the lowest prompt among those that begin like its first one

  bool is_placed() const { return first_place != no_place; }
};
static_assert(std::is_trivially_copyable_v<Lot>);

// The work of an attempt, by which its lots are sized.
struct WorkPlan {
  std::uint64_t work = 0;  // of all prompts
  std::uint32_t ranks = 1;
  std::uint64_t before = 0;  // work of the prompts that come before those that are cut
};

// Prompts of one shard, in ascending order, as lots. A lot has about 1/64 of a rank's fair share of all work, but at
// least one prompt. A prompt near the end of the plan that is more than an eighth of a fair share is cut into lots of
// some samples each, so that no rank is left alone with it; they compute the prompt again, and each has at least as
// many tokens to generate as the prompt has. Passes over prompts that are placed.
std::vector<Lot> cut_lots(ShardId shard, std::span<const PromptSize> prompts, const WorkPlan& plan);

// Whether a prompt is more than an eighth of a fair share and could be cut.
bool is_large(const PromptSize& prompt, const WorkPlan& plan);
// `whole`, a lot of this one prompt, cut in that way.
std::vector<Lot> cut_into_samples(const Lot& whole, const PromptSize& prompt, std::uint64_t lot_work);

// The rank that keeps a shard: it alone writes the shard's journal and file. Ranks differ by at most one shard, and
// fewer shards than ranks are spread over all of them, because neighbouring ranks share a node.
WorldRank keeper_of(ShardId shard, std::uint32_t shards, std::uint32_t ranks);

// The lots that are still to be dealt, in order. Every rank keeps the same copy.
class LotList {
 public:
  LotList() = default;
  explicit LotList(std::vector<Lot> lots);
  std::span<const Lot> left() const { return std::span(lots_).subspan(next_); }
  std::uint64_t work_left() const { return work_; }
  // Of those that are left, the first that is placed; null if none is.
  const Lot* next_placed() const;
  // Removes the first `count` lots, which a Decision dealt.
  void take(std::size_t count);

 private:
  std::vector<Lot> lots_;
  std::size_t next_ = 0;
  std::uint64_t work_ = 0;
  mutable std::size_t next_placed_ = 0;  // no lot before it, from next_ on, is placed
};

}  // namespace moemill::schedule
