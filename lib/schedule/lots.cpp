#include "schedule/lots.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"

namespace moemill::schedule {
namespace {

constexpr std::uint64_t lots_of_a_share = 64;
constexpr std::uint64_t large_part_of_a_share = 8;  // a prompt of more work may be cut into samples
constexpr std::uint64_t end_of_the_plan = 4;        // the last quarter of the work

bool is_cut_into_samples(const PromptSize& prompt, const WorkPlan& plan, std::uint64_t work_before) {
  return is_large(prompt, plan) && work_before + prompt.work() > plan.work - plan.work / end_of_the_plan;
}

Lot whole(ShardId shard, const PromptSize& prompt) {
  Lot lot;
  lot.shard = shard;
  lot.prompts = lot.dealt = 1;
  lot.first_prompt = lot.order = prompt.prompt;
  lot.sequences = prompt.samples;
  lot.prompt_tokens = prompt.prompt_tokens;
  lot.work = prompt.work();
  lot.begun = prompt.begun;
  return lot;
}

}  // namespace

bool is_large(const PromptSize& prompt, const WorkPlan& plan) {
  return prompt.samples > 1 && plan.ranks > 1 && prompt.work() > plan.work / plan.ranks / large_part_of_a_share;
}

std::vector<Lot> cut_into_samples(const Lot& whole, const PromptSize& prompt, std::uint64_t lot_work) {
  const std::uint64_t each = std::max<std::uint64_t>(prompt.max_tokens, 1);
  const std::uint64_t fitting = lot_work > prompt.prompt_tokens ? (lot_work - prompt.prompt_tokens) / each : 0;
  const std::uint64_t count = std::max<std::uint64_t>({fitting, divide_up(prompt.prompt_tokens, each), 1});
  std::vector<Lot> lots;
  for (std::uint64_t first = 0; first < prompt.samples; first += count) {
    Lot lot = whole;
    lot.first_sample = static_cast<std::uint32_t>(first);
    lot.sequences = static_cast<std::uint32_t>(std::min<std::uint64_t>(count, prompt.samples - first));
    lot.prompt_tokens = prompt.prompt_tokens;
    lot.work = prompt.prompt_tokens + std::uint64_t{lot.sequences} * prompt.max_tokens;
    lots.push_back(lot);
  }
  return lots;
}

std::vector<Lot> cut_lots(ShardId shard, std::span<const PromptSize> prompts, const WorkPlan& plan) {
  const std::uint64_t lot_work = std::max<std::uint64_t>(plan.work / plan.ranks / lots_of_a_share, 1);
  std::vector<Lot> lots;
  std::uint64_t before = plan.before;
  bool open = false;       // whether the last lot may grow
  std::uint64_t next = 0;  // the prompt behind those that it has or that are placed
  for (const PromptSize& prompt : prompts) {
    if (prompt.placed) {
      next += prompt.prompt == next ? 1 : 0;
      continue;
    }
    if (is_cut_into_samples(prompt, plan, before)) {
      for (const Lot& lot : cut_into_samples(whole(shard, prompt), prompt, lot_work)) lots.push_back(lot);
      open = false;
    } else if (open && lots.back().work + prompt.work() <= lot_work) {
      Lot& lot = lots.back();
      // A prompt that is skipped has all its rows already, which only the keeper knows.
      const bool skips = prompt.prompt != next;
      lot.begun = lot.begun || prompt.begun || skips;
      lot.prompts = static_cast<std::uint32_t>(prompt.prompt - lot.first_prompt + 1);
      lot.sequences += prompt.samples;
      ++lot.dealt;
      lot.prompt_tokens += prompt.prompt_tokens;
      lot.work += prompt.work();
    } else {
      lots.push_back(whole(shard, prompt));
      open = true;
    }
    before += prompt.work();
    next = prompt.prompt + 1;
  }
  return lots;
}

WorldRank keeper_of(ShardId shard, std::uint32_t shards, std::uint32_t ranks) {
  const auto number = static_cast<std::uint64_t>(shard.value);
  return {static_cast<std::int32_t>(shards < ranks ? number * ranks / shards : number % ranks)};
}

LotList::LotList(std::vector<Lot> lots) : lots_(std::move(lots)) {
  for (Lot& lot : lots_) {
    // Every lot reduces a rank's demand; otherwise one rank could be dealt any number of empty lots.
    expect(lot.sequences > 0, "lots: each has samples");
    lot.work = std::max<std::uint64_t>(lot.work, 1);
    work_ += lot.work;
  }
}

const Lot* LotList::next_placed() const {
  next_placed_ = std::max(next_placed_, next_);
  while (next_placed_ < lots_.size() && !lots_[next_placed_].is_placed()) ++next_placed_;
  return next_placed_ < lots_.size() ? &lots_[next_placed_] : nullptr;
}

void LotList::take(std::size_t count) {
  expect(count <= lots_.size() - next_, "lots: only lots on the list are taken");
  for (; count > 0; --count) work_ -= lots_[next_++].work;
}

}  // namespace moemill::schedule
