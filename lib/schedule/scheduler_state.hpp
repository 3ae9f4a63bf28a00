// The Scheduler's private state: the prompts and samples on hand, and each step of the policy in scheduler.hpp. Private
// to schedule/.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "schedule/scheduler.hpp"

namespace moemill::schedule {

// Indexed by PageGroup; the list of a group without layers stays empty.
using Pages = std::array<PageList, page_groups>;

// A prompt in flight. It holds the pages of its rows until every sample has started or ended. If it has only one
// sample, its pages are reserved for prompt and sample together, and the sample takes them over after the last prompt
// row.
struct Active {
  PromptWork work;
  std::vector<SlotId> slots;  // [samples]; the first sample continues in the prompt's pages
  Pages pages;
  std::uint32_t computed = 0;  // prompt rows computed so far
  std::uint32_t unfinished = 0;
  std::uint32_t unstarted = 0;  // samples without pages

  std::uint32_t rows() const { return static_cast<std::uint32_t>(work.prompt_rows()); }
  std::uint32_t length() const { return static_cast<std::uint32_t>(work.length()); }
};

struct Entry {
  Sequence sequence;
  Active* prompt = nullptr;
  Pages pages;
  std::uint32_t computed = 0;  // generated tokens whose rows are in the cache

  std::uint32_t pending() const { return sequence.length() - computed; }
  std::uint32_t next_position() const { return static_cast<std::uint32_t>(sequence.prompt->length()) + computed; }
};

// Pages of a prompt and one of its samples together. The last generated token never becomes a row.
std::uint32_t pages_of_sample(std::uint64_t prompt_tokens, std::uint32_t max_tokens);
std::uint32_t pages_of_sample(const PromptWork& work);

// Heap order of the waiting prompts: the most work first, then the lower index.
bool goes_later(const std::unique_ptr<Active>& a, const std::unique_ptr<Active>& b);

struct Scheduler::State {
  SchedulerSettings settings;
  std::uint32_t max_running;                // every running sequence has a row in every step
  std::array<PagePool, page_groups> pools;  // indexed by PageGroup
  std::vector<PageGroup> groups;            // the groups that this model has layers of

  std::vector<std::unique_ptr<Active>> waiting;  // a heap
  std::uint64_t waiting_work = 0;
  std::uint64_t waiting_prompt_tokens = 0;
  std::uint64_t waiting_sequences = 0;

  std::vector<std::unique_ptr<Active>> active;
  std::vector<Active*> prefilling;  // in order of admission; all but the last compute all their rows in a step
  std::vector<SlotId> running;      // in order of start
  std::vector<SlotId> parked;       // samples with tokens to continue from but without a place or pages; a queue
  std::deque<Entry> entries;        // indexed by slot
  std::vector<SlotId> free_slots;

  std::uint64_t ended = 0, ended_tokens = 0;                   // samples that have ended
  std::uint64_t taken_sequences = 0, taken_prompt_tokens = 0;  // of all prompts so far

  Step step;
  std::vector<LogitUse> uses;
  std::vector<PageCopy> copies;  // for samples started since the last plan
  std::vector<SlotId> finished;

  explicit State(const SchedulerSettings& s)
      : settings(s),
        max_running(std::min(s.max_num_seqs, s.max_num_batched_tokens)),
        pools{PagePool(s.pages, 0), PagePool(s.window_pages, s.window)} {
    expect(max_running > 0, "scheduler: at least one sequence runs at a time");
    if (s.pages > 0) groups.push_back(PageGroup::Full);
    if (s.window > 0) groups.push_back(PageGroup::Window);
    expect(!groups.empty(), "scheduler: a model has layers that need pages");
  }

  PagePool& pool(PageGroup group) { return pools[static_cast<std::size_t>(group)]; }
  const PagePool& pool(PageGroup group) const { return pools[static_cast<std::size_t>(group)]; }
  static PageList& list(Pages& pages, PageGroup group) { return pages[static_cast<std::size_t>(group)]; }
  static const PageList& list(const Pages& pages, PageGroup group) { return pages[static_cast<std::size_t>(group)]; }

  Entry& entry(SlotId slot) { return entries[static_cast<std::size_t>(slot.value)]; }
  const Entry& entry(SlotId slot) const { return entries[static_cast<std::size_t>(slot.value)]; }
  std::uint32_t free_places() const {
    return max_running - static_cast<std::uint32_t>(running.size() + prefilling.size());
  }

  std::uint64_t starts_within(std::uint32_t steps, std::uint64_t work_left) const;

  // Admission.
  std::uint32_t promise(PageGroup group, std::uint32_t prompt_pages, std::uint32_t all_pages,
                        std::size_t samples) const;
  bool can_admit() const;
  Active& admit();
  SlotId new_slot();

  // Rows.
  void plan_generated(std::uint32_t& budget);
  void plan_prompt(Active& prompt, std::uint32_t& budget);
  std::uint32_t rows_within(const Pages& pages, std::uint32_t position, std::uint32_t rows) const;
  void add_rows(RowKind kind, std::uint32_t rows, std::uint32_t position, Pages& pages);
  void add_tokens(const PromptWork& prompt, std::span<const TokenId> of, std::uint32_t first, std::uint32_t rows);
  std::uint32_t want_logits(std::uint32_t row);

  // Consequences.
  void advance_planned_rows();
  void draw(Sequence& sequence, TokenId token);
  void continue_running(Entry& entry, std::uint32_t rows);
  void finish(SlotId slot, FinishReason reason);
  void end_prefill(Active& prompt);
  void start_first_sample(SlotId slot);
  bool start(SlotId slot);
  void start_parked();
  void slide(Pages& pages, std::uint32_t position);
  void close(Pages& pages);
  void recycle_finished();
};

}  // namespace moemill::schedule
