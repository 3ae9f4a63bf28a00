// The inside of the Scheduler: the prompts and samples on hand, and the steps of its policy (scheduler.hpp) one by one.
// Private to schedule/.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "schedule/scheduler.hpp"

namespace moemill::schedule {

// A prompt in flight. It holds its own pages until every sample has started or ended.
struct Active {
  PromptWork work;
  std::vector<SlotId> slots;   // of its samples; the first is the one that goes on in the pages at hand
  std::vector<PageId> pages;   // of the prompt's rows
  std::uint32_t computed = 0;  // prompt rows
  std::uint32_t unfinished = 0;
  std::uint32_t unstarted = 0;  // samples that have no pages yet

  std::uint32_t rows() const { return static_cast<std::uint32_t>(work.prompt_rows()); }
  std::uint32_t length() const { return static_cast<std::uint32_t>(work.tokens.size()); }
};

struct Entry {
  Sequence sequence;
  Active* prompt = nullptr;
  std::vector<PageId> pages;
  std::uint32_t computed = 0;  // generated tokens whose rows are in the cache

  std::uint32_t pending() const { return static_cast<std::uint32_t>(sequence.generated.size()) - computed; }
};

// Pages that one sample may ever need. Its last generated token is never a row.
std::uint32_t pages_of_sample(std::uint64_t prompt_tokens, std::uint32_t max_tokens);
std::uint32_t pages_of_sample(const PromptWork& work);

// Heap order of the waiting prompts: most work first, then the lower index.
bool goes_later(const std::unique_ptr<Active>& a, const std::unique_ptr<Active>& b);

struct Scheduler::State {
  SchedulerSettings settings;
  std::uint32_t max_running;  // every running sequence has a row in every step
  PagePool pool;

  std::vector<std::unique_ptr<Active>> waiting;  // a heap
  std::uint64_t waiting_work = 0;
  std::uint64_t waiting_prompt_tokens = 0;
  std::uint64_t waiting_sequences = 0;

  std::vector<std::unique_ptr<Active>> active;
  std::vector<Active*> prefilling;  // in order of admission; all but the last take what they need in a step
  std::vector<SlotId> running;      // in order of start
  std::vector<SlotId> parked;       // have tokens to go on from, but no slot or pages; first come first served
  std::deque<Entry> entries;        // by slot
  std::vector<SlotId> free_slots;

  Step step;
  std::vector<LogitUse> uses;
  std::vector<PageCopy> copies;  // of samples started since the last plan
  std::vector<SlotId> finished;

  explicit State(const SchedulerSettings& s)
      : settings(s), max_running(std::min(s.max_num_seqs, s.max_num_batched_tokens)), pool(s.pages) {
    expect(max_running > 0, "scheduler: at least one sequence runs at a time");
  }

  Entry& entry(SlotId slot) { return entries[static_cast<std::size_t>(slot.value)]; }
  const Entry& entry(SlotId slot) const { return entries[static_cast<std::size_t>(slot.value)]; }
  std::uint32_t free_places() const {
    return max_running - static_cast<std::uint32_t>(running.size() + prefilling.size());
  }

  // Admission.
  bool can_admit() const;
  Active& admit();
  SlotId new_slot();

  // Rows.
  void plan_generated(std::uint32_t& budget);
  void plan_prompt(Active& prompt, std::uint32_t& budget);
  void add_rows(RowKind kind, std::span<const TokenId> tokens, std::uint32_t position, std::span<const PageId> pages);
  std::uint32_t want_logits(std::uint32_t row);

  // Consequences.
  void advance_planned_rows();
  void finish(SlotId slot, FinishReason reason);
  void end_prefill(Active& prompt);
  bool start(SlotId slot);
  void start_parked();
  void drop_prompt_pages(Active& prompt);
  void recycle_finished();
};

}  // namespace moemill::schedule
