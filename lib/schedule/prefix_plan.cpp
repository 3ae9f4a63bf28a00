#include "schedule/prefix_plan.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace moemill::schedule {
namespace {

constexpr std::uint64_t lots_of_a_share = 32;       // fewer than of other prompts: a cut computes a prefix again
constexpr std::uint64_t least_lots_of_a_share = 2;  // however much a cut costs
constexpr std::uint64_t work_over_repeated = 4;  // a lot's work, at least, over the tokens that its first prompt shares

Lot lot_of(std::span<const BranchPrompt> prompts, std::uint64_t first_place) {
  const BranchPrompt& first = prompts.front();
  Lot lot;
  lot.shard = first.shard;
  lot.prompts = lot.dealt = static_cast<std::uint32_t>(prompts.size());
  lot.first_prompt = first.size.prompt;
  lot.first_place = first_place;
  lot.order = first.order;
  lot.begun = first.size.begun;
  lot.prompt_tokens = first.size.prompt_tokens - first.own_tokens();  // whoever gets the lot may have to compute them
  lot.work = lot.prompt_tokens;
  for (const BranchPrompt& prompt : prompts) {
    lot.sequences += prompt.size.samples;
    lot.prompt_tokens += prompt.own_tokens();
    lot.work += prompt.work();
  }
  return lot;
}

bool may_share_a_lot(const BranchPrompt& before, const BranchPrompt& next) {
  return before.size.begun == next.size.begun && (!next.size.begun || before.shard == next.shard);
}

// How many of `prompts` the first lot has: as many as fit, cut in its second half at the last place that has least in
// common with the one before; more if that is much.
std::size_t prompts_of_lot(std::span<const BranchPrompt> prompts, std::uint64_t lot_work, std::uint64_t most_work) {
  std::uint64_t work = prompts.front().size.work();
  std::size_t cut = 0, p = 1;
  for (; p < prompts.size() && may_share_a_lot(prompts[p - 1], prompts[p]); ++p) {
    const bool pays = work >= lot_work / 2 && work >= work_over_repeated * prompts[p].shared_tokens;
    if (pays && (cut == 0 || prompts[p].shared_tokens <= prompts[cut].shared_tokens)) cut = p;
    work += prompts[p].work();
    if (cut > 0 && work > lot_work) return cut;
    if (work > most_work) return p;
  }
  return p;
}

}  // namespace

PrefixPlan::PrefixPlan(std::vector<PlacedPrompt> places, std::uint64_t prompts) : places_(std::move(places)) {
  if (places_.empty()) return;
  placed_.resize(prompts);
  for (const PlacedPrompt& place : places_) {
    expect(place.prompt < prompts && !placed_[place.prompt], "prefix plan: a prompt has one place");
    placed_[place.prompt] = true;
  }
}

std::span<const PlacedPrompt> PrefixPlan::of(const Lot& lot) const {
  return places().subspan(lot.first_place, lot.prompts);
}

std::uint32_t PrefixPlan::shared_tokens(const Lot& done, const Lot& next) const {
  if (!done.is_placed() || !next.is_placed() || next.first_place < done.first_place + done.prompts) return 0;
  std::uint32_t least = places_[next.first_place].shared_tokens;
  for (std::uint64_t p = done.first_place + done.prompts; least > 0 && p < next.first_place; ++p)
    least = std::min(least, places_[p].shared_tokens);
  return least;
}

std::vector<Lot> cut_branches(std::span<const BranchPrompt> prompts, const WorkPlan& plan, std::uint64_t first_place) {
  const std::uint64_t share = plan.work / plan.ranks;
  const std::uint64_t lot_work = std::max<std::uint64_t>(share / lots_of_a_share, 1);
  std::vector<Lot> lots;
  for (std::size_t first = 0; first < prompts.size();) {
    const std::size_t count = prompts_of_lot(prompts.subspan(first), lot_work, share / least_lots_of_a_share);
    Lot lot = lot_of(prompts.subspan(first, count), first_place + first);
    if (prompts[first].shared_tokens > 0 && !lots.empty()) lot.order = lots.back().order;  // follows at once
    const PromptSize& size = prompts[first].size;
    if (count == 1 && is_large(size, plan)) {
      for (const Lot& part : cut_into_samples(lot, size, lot_work)) lots.push_back(part);
    } else {
      lots.push_back(lot);
    }
    first += count;
  }
  return lots;
}

}  // namespace moemill::schedule
