#include "schedule/scheduler_state.hpp"

#include <algorithm>
#include <tuple>

#include "base/error.hpp"

namespace moemill::schedule {

std::uint32_t pages_of_sample(std::uint64_t prompt_tokens, std::uint32_t max_tokens) {
  return pages_for(prompt_tokens + std::max(max_tokens, 1u) - 1);
}

std::uint32_t pages_of_sample(const PromptWork& work) {
  if (work.params.max_tokens == 0) return pages_for(work.prompt_rows());
  return pages_of_sample(work.tokens.size(), work.params.max_tokens);
}

bool goes_later(const std::unique_ptr<Active>& a, const std::unique_ptr<Active>& b) {
  return std::tuple(a->work.work(), b->work.prompt_index) < std::tuple(b->work.work(), a->work.prompt_index);
}

bool Scheduler::State::can_admit() const {
  if (waiting.empty() || !parked.empty() || free_places() == 0) return false;
  return pages_of_sample(waiting.front()->work) <= pool.free();
}

SlotId Scheduler::State::new_slot() {
  if (free_slots.empty()) {
    entries.emplace_back();
    return SlotId{static_cast<std::int32_t>(entries.size() - 1)};
  }
  SlotId slot = free_slots.back();
  free_slots.pop_back();
  return slot;
}

Active& Scheduler::State::admit() {
  std::pop_heap(waiting.begin(), waiting.end(), goes_later);
  active.push_back(std::move(waiting.back()));
  waiting.pop_back();
  Active& prompt = *active.back();
  waiting_work -= prompt.work.work();
  waiting_prompt_tokens -= prompt.rows();
  waiting_sequences -= prompt.work.samples.size();

  for (const SampleWork& sample : prompt.work.samples) {
    SlotId slot = new_slot();
    prompt.slots.push_back(slot);
    Entry& e = entry(slot);
    e.prompt = &prompt;
    e.computed = 0;
    e.sequence.prompt = &prompt.work;
    e.sequence.sample_index = sample.sample_index;
    e.sequence.seed = sample.seed;
    e.sequence.generated.assign(sample.resumed.begin(), sample.resumed.end());
    e.sequence.resumed = static_cast<std::uint32_t>(sample.resumed.size());
    e.sequence.finish = FinishReason::None;
  }
  prompt.unfinished = static_cast<std::uint32_t>(prompt.slots.size());
  prompt.unstarted = prompt.unfinished - 1;

  Entry& first = entry(prompt.slots.front());
  first.sequence.generated.reserve(prompt.work.params.max_tokens);
  pool.take(pages_for(prompt.rows()), prompt.pages);
  for (PageId page : prompt.pages) pool.hold(page), first.pages.push_back(page);
  pool.take(pages_of_sample(prompt.work) - pages_for(prompt.rows()), first.pages);
  prefilling.push_back(&prompt);
  return prompt;
}

void Scheduler::State::add_rows(RowKind kind, std::span<const TokenId> tokens, std::uint32_t position,
                                std::span<const PageId> pages) {
  auto rows = static_cast<std::uint32_t>(tokens.size());
  std::uint32_t page_count = pages_for(position + rows);
  step.segments.push_back(
      {kind, step.rows(), rows, position, static_cast<std::uint32_t>(step.pages[0].size()), page_count});
  step.tokens.insert(step.tokens.end(), tokens.begin(), tokens.end());
  for (std::uint32_t r = 0; r < rows; ++r) step.positions.push_back(position + r);
  step.pages[0].insert(step.pages[0].end(), pages.begin(), pages.begin() + page_count);
}

std::uint32_t Scheduler::State::want_logits(std::uint32_t row) {
  step.logit_rows.push_back(row);
  return static_cast<std::uint32_t>(step.logit_rows.size() - 1);
}

// One row for everyone that runs; what is left after the prefilling prompts' one each goes to replays.
void Scheduler::State::plan_generated(std::uint32_t& budget) {
  std::uint32_t spare = budget - static_cast<std::uint32_t>(running.size() + prefilling.size());
  for (SlotId slot : running) {
    Entry& e = entry(slot);
    std::uint32_t extra = std::min(e.pending() - 1, spare);
    std::uint32_t rows = 1 + extra;
    spare -= extra, budget -= rows;
    add_rows(RowKind::Generated, std::span(e.sequence.generated).subspan(e.computed, rows),
             static_cast<std::uint32_t>(e.sequence.prompt->tokens.size()) + e.computed, e.pages);
    if (rows == e.pending()) {
      uses.push_back({want_logits(step.rows() - 1), LogitPurpose::Sample, slot,
                      static_cast<std::uint32_t>(e.sequence.generated.size())});
    }
  }
}

void Scheduler::State::plan_prompt(Active& prompt, std::uint32_t& budget) {
  std::uint32_t rows = std::min(prompt.rows() - prompt.computed, budget);
  budget -= rows;
  if (rows == 0) return;
  std::uint32_t first_row = step.rows();
  add_rows(RowKind::Prompt, std::span(prompt.work.tokens).subspan(prompt.computed, rows), prompt.computed,
           prompt.pages);

  std::uint32_t last = prompt.length() - 1;  // the row that predicts the first generated token
  for (std::uint32_t r = 0; prompt.work.params.prompt_logprobs && r < rows; ++r) {
    std::uint32_t position = prompt.computed + r;
    if (position == last) continue;
    uses.push_back({want_logits(first_row + r), LogitPurpose::PromptLogprob, prompt.slots.front(), position + 1});
  }
  if (prompt.computed + rows <= last) return;
  auto fresh = [&](SlotId slot) { return entry(slot).sequence.generated.empty(); };
  if (std::none_of(prompt.slots.begin(), prompt.slots.end(), fresh)) return;
  std::uint32_t logit = want_logits(step.rows() - 1);
  for (SlotId slot : prompt.slots) {
    if (fresh(slot)) uses.push_back({logit, LogitPurpose::Sample, slot, 0});
  }
}

// The plan's segments are those of `running` in order, then those of `prefilling` in order.
void Scheduler::State::advance_planned_rows() {
  std::size_t s = 0;
  for (SlotId slot : running) {
    entry(slot).computed += step.segments[s++].rows;
  }
  for (Active* prompt : prefilling) {
    if (s < step.segments.size() && prompt->computed < prompt->rows()) prompt->computed += step.segments[s++].rows;
  }
  expect(s == step.segments.size(), "scheduler: every planned segment is accounted for");
}

void Scheduler::State::finish(SlotId slot, FinishReason reason) {
  Entry& e = entry(slot);
  e.sequence.finish = reason;
  pool.release(e.pages);
  e.pages.clear();
  --e.prompt->unfinished;
  finished.push_back(slot);
}

void Scheduler::State::drop_prompt_pages(Active& prompt) {
  pool.release(prompt.pages);
  prompt.pages.clear();
}

// All prompt rows are in the cache and the first tokens are drawn.
void Scheduler::State::end_prefill(Active& prompt) {
  for (std::size_t s = 0; s < prompt.slots.size(); ++s) {
    SlotId slot = prompt.slots[s];
    if (prompt.work.params.max_tokens == 0) finish(slot, FinishReason::Length);
    bool ended = entry(slot).sequence.finish != FinishReason::None;
    if (s == 0) {
      if (!ended) running.push_back(slot);
    } else if (ended) {
      --prompt.unstarted;
    } else {
      parked.push_back(slot);
    }
  }
  if (prompt.unstarted == 0) drop_prompt_pages(prompt);
}

// Gives a parked sample its pages: the prompt's full pages, its partial one (its own copy, unless no other sample is in
// it), and what it may need behind them. False when a slot or pages are lacking.
bool Scheduler::State::start(SlotId slot) {
  Entry& e = entry(slot);
  Active& prompt = *e.prompt;
  std::uint32_t full = prompt.length() / page_tokens;
  std::uint32_t partial_tokens = prompt.length() % page_tokens;
  bool copy = partial_tokens > 0 && pool.holders(prompt.pages.back()) > 1;
  std::uint32_t own = pages_of_sample(prompt.work) - full - (partial_tokens > 0 && !copy ? 1 : 0);
  if (free_places() == 0 || own > pool.free()) return false;

  std::size_t shared = copy ? full : prompt.pages.size();
  for (std::size_t p = 0; p < shared; ++p) pool.hold(prompt.pages[p]), e.pages.push_back(prompt.pages[p]);
  pool.take(own, e.pages);
  e.sequence.generated.reserve(prompt.work.params.max_tokens);  // only now: a prompt may have very many samples
  if (copy) copies.push_back({PageGroup::Full, prompt.pages.back(), e.pages[full], partial_tokens});
  running.push_back(slot);
  if (--prompt.unstarted == 0) drop_prompt_pages(prompt);
  return true;
}

// Strictly in order. It always comes to an end: while a sample is parked nobody is admitted, and when its prompt was
// admitted one sample's pages fitted beside all prompts that are still here.
void Scheduler::State::start_parked() {
  std::size_t started = 0;
  while (started < parked.size() && start(parked[started])) ++started;
  parked.erase(parked.begin(), parked.begin() + static_cast<std::ptrdiff_t>(started));
}

void Scheduler::State::recycle_finished() {
  for (SlotId slot : finished) {
    free_slots.push_back(slot);
    entry(slot).prompt = nullptr;
    entry(slot).sequence.prompt = nullptr;
    std::vector<TokenId>().swap(entry(slot).sequence.generated);
  }
  if (!finished.empty()) std::erase_if(active, [](const auto& prompt) { return prompt->unfinished == 0; });
  finished.clear();
}

}  // namespace moemill::schedule
