// How long samples are expected to become, and what happens when they become longer.
#include <algorithm>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "schedule/scheduler_state.hpp"

namespace moemill::schedule {

// Tokens of all samples so far, over the number of those that have ended: of the prompt's samples if one has, else of
// the rank's. Those that still run count, because short samples end first. Before any has ended, what a sample may
// have.
std::uint64_t Scheduler::State::expected_tokens(const Active& prompt) const {
  const std::uint64_t most = prompt.work.params.max_tokens;
  const Lengths& known = prompt.lengths.ended > 0 ? prompt.lengths : lengths;
  return known.ended == 0 ? most : std::min(most, divide_up(known.tokens, known.ended));
}

// Pages of a prompt and one of its samples that has so many tokens: as expected, and one more.
std::uint32_t Scheduler::State::pages_to_reserve(const Active& prompt, std::uint32_t generated) const {
  const std::uint32_t most = pages_of_sample(prompt.work);
  if (prompt.work.params.max_tokens == 0) return most;
  const std::uint64_t tokens = std::max<std::uint64_t>(expected_tokens(prompt), generated);
  return std::min(most, pages_of_sample(prompt.length(), static_cast<std::uint32_t>(tokens)) + 1);
}

// Makes sure that the nth running sample has a page for its next row. False if it has been put back, or if it is the
// only one that runs and waits for the prompts that are being computed: all their pages are promised, so they end. The
// oldest sample is never put back, and with the cache to itself it ends; so each sample ends at last.
bool Scheduler::State::find_page(std::size_t nth) {
  for (PageGroup g : groups) {
    for (;;) {
      Entry& e = entry(running[nth]);
      if (pool(g).rows_within(list(e.pages, g), e.next_position(), 1) > 0) break;
      if (take_back_promise(g, nth)) continue;
      if (running.size() > 1) {
        put_back_youngest();
        if (nth == running.size()) return false;
      } else if (!drop_idle_pages(e.prompt)) {
        expect(!prefilling.empty(), "scheduler: a sample alone fits the cache");
        return false;
      }
    }
  }
  return true;
}

// A page that is free for the time being, from the youngest sample that was promised one.
bool Scheduler::State::take_back_promise(PageGroup group, std::size_t nth) {
  for (std::size_t s = running.size(); s > 0; --s)
    if (s - 1 != nth && pool(group).take_back(list(entry(running[s - 1]).pages, group))) return true;
  return false;
}

// Its tokens are kept, and it is the first to start again.
void Scheduler::State::put_back_youngest() {
  const SlotId slot = running.back();
  running.pop_back();
  Entry& e = entry(slot);
  close(e.pages);
  generated_rows_again += e.computed;
  e.computed = 0;
  if (e.prompt->unstarted++ == 0 && !e.prompt->again) e.prompt->computed = 0;  // its pages are gone
  parked.insert(parked.begin(), slot);
}

// Gives back pages that no sequence in flight reads: prefixes that prompts wait for, and prompts of parked samples.
// False if there were none.
bool Scheduler::State::drop_idle_pages(const Active* except) {
  bool dropped = give_back_prefixes();
  for (const auto& prompt : active) {
    const bool is_kept = prompt->unstarted > 0 && prompt->computed == prompt->rows() && !prompt->again;
    if (!is_kept || prompt.get() == except || prompt->work.params.max_tokens == 0) continue;
    close(prompt->pages);
    prompt->computed = 0;
    dropped = true;
  }
  return dropped;
}

// Begins to compute the rows of a sample's prompt again. False if it lacks a place or pages, or if that is being done
// for another sample of the prompt.
bool Scheduler::State::start_again(SlotId slot) {
  Active& prompt = *entry(slot).prompt;
  if (prompt.again || free_places() == 0) return false;
  const std::uint32_t end = pages_to_reserve(prompt, entry(slot).sequence.length());
  const auto lacks = [&](PageGroup g) {
    return promise(g, 0, pages_for(prompt.rows()), end, prompt.slots.size()) > pool(g).available();
  };
  if (std::any_of(groups.begin(), groups.end(), lacks)) return false;
  open_pages(prompt, slot, 0);
  prompt.again = slot;
  --prompt.unstarted;
  prefilling.push_back(&prompt);
  return true;
}

// For so many steps all running samples get pages, if no prompt is being computed and none of them ends.
std::uint32_t Scheduler::State::grows_for() const {
  const auto lacks = [&](PageGroup g, std::uint32_t steps) {
    std::uint64_t pages = 0;
    for (SlotId slot : running) {
      const Entry& e = entry(slot);
      const PageList& of = list(e.pages, g);
      const std::uint64_t rows = std::uint64_t{e.next_position()} + steps;
      const auto end = static_cast<std::uint32_t>(
          std::clamp<std::uint64_t>(divide_up<std::uint64_t>(rows, page_tokens), of.pages.size(), of.last));
      pages += pool(g).promise_up_to(of, std::max(end, of.own));
    }
    return pages > pool(g).unlent();
  };
  const auto any_lacks = [&](std::uint32_t steps) {
    return std::any_of(groups.begin(), groups.end(), [&](PageGroup g) { return lacks(g, steps); });
  };
  if (!any_lacks(UINT32_MAX)) return UINT32_MAX;
  std::uint32_t enough = 0, too_many = UINT32_MAX;
  while (too_many - enough > 1) {
    const std::uint32_t middle = enough + (too_many - enough) / 2;
    (any_lacks(middle) ? too_many : enough) = middle;
  }
  return enough;
}

}  // namespace moemill::schedule
