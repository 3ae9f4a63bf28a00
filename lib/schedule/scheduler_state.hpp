// The Scheduler's private state: the prompts and samples on hand, and each step of the policy in scheduler.hpp. Private
// to schedule/.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "schedule/prefix_tree.hpp"
#include "schedule/scheduler.hpp"

namespace moemill::schedule {

// Generated tokens so far, and how many samples they belong to that have ended.
struct Lengths {
  std::uint64_t tokens = 0, ended = 0;
};

// A prompt in flight. It holds the pages of its rows until every sample has started or ended. If it has only one
// sample, its pages are reserved for prompt and sample together, and the sample takes them over after the last prompt
// row. If one is put back and the prompt's pages are gone, its rows are computed again for it.
struct Active {
  PromptWork work;
  std::vector<SlotId> slots;  // [samples]; the first sample continues in the prompt's pages
  Pages pages;
  std::uint32_t computed = 0;  // prompt rows computed so far
  std::uint32_t unfinished = 0;
  std::uint32_t unstarted = 0;  // samples without pages
  std::optional<SlotId> again;  // the sample for which the rows are being computed again
  Lengths lengths;              // of its samples
  PrefixNode* place = nullptr;  // in the tree of prefixes; null: shares nothing
  std::uint32_t own_rows = 0;   // to be computed, as far as was known when it was added

  std::uint32_t rows() const { return static_cast<std::uint32_t>(work.prompt_rows()); }
  std::uint32_t length() const { return static_cast<std::uint32_t>(work.length()); }
  // Of a waiting prompt: rows that it and its samples may need at most.
  std::uint64_t work_left() const { return work.work() - rows() + own_rows; }
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

// Order of the waiting prompts: the most work first, then the lower index.
struct GoesEarlier {
  bool operator()(const std::unique_ptr<Active>& a, const std::unique_ptr<Active>& b) const;
};
using Waiting = std::multiset<std::unique_ptr<Active>, GoesEarlier>;

// A waiting prompt that could be admitted, and what it begins with that has been computed already.
struct Candidate {
  Waiting::const_iterator prompt;
  const PrefixNode* from = nullptr;
  std::uint32_t rows = 0;  // of `from`

  std::uint32_t shared_pages() const { return rows / page_tokens; }
};

struct Scheduler::State {
  SchedulerSettings settings;
  std::uint32_t max_running;                // every running sequence has a row in every step
  std::array<PagePool, page_groups> pools;  // indexed by PageGroup
  std::vector<PageGroup> groups;            // the groups that this model has layers of

  Waiting waiting;
  std::uint64_t waiting_work = 0;
  std::uint64_t waiting_prompt_tokens = 0;
  std::uint64_t waiting_sequences = 0;

  std::vector<std::unique_ptr<Active>> active;
  std::vector<Active*> prefilling;  // in order of admission; all but the last compute all their rows in a step
  std::vector<SlotId> running;      // in order of start
  bool oldest_waits = false;        // the first of them has no row in this step
  std::vector<SlotId> parked;       // samples with tokens to continue from but without a place or pages; a queue
  std::deque<Entry> entries;        // indexed by slot
  std::vector<SlotId> free_slots;

  std::uint64_t ended = 0, ended_tokens = 0;                   // samples that have ended
  Lengths lengths;                                             // of samples that generate anything
  std::uint64_t taken_sequences = 0, taken_prompt_tokens = 0;  // of all prompts so far

  Step step;
  std::vector<LogitUse> uses;
  std::vector<PageCopy> copies;  // for samples started since the last plan
  std::vector<SlotId> finished;

  PrefixTree prefixes;
  PrefixNode* expected = nullptr;  // waits for prompts that are still to be added
  std::uint64_t shared_rows = 0;   // prompt rows that were not computed because another prompt's were
  std::uint64_t planned_rows = 0;  // the same by the plan of the run
  std::uint64_t prompt_rows_again = 0, generated_rows_again = 0;  // of samples that were put back

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
  std::uint32_t promise(PageGroup group, std::uint32_t shared_pages, std::uint32_t prompt_pages,
                        std::uint32_t all_pages, std::size_t samples) const;
  bool fits_now(const Candidate& candidate) const;
  std::optional<Candidate> next() const { return next(waiting.begin()); }
  std::optional<Candidate> next(Waiting::const_iterator from) const;
  Active& admit(const Candidate& candidate);
  void open_pages(Active& prompt, SlotId first, std::uint32_t shared_pages);
  SlotId new_slot();

  // Prefixes (scheduler_prefixes.cpp).
  void take_place(Active& prompt);
  PrefixTree::Place wait_at(std::span<const TokenId> tokens);
  void expect_more(std::span<const TokenId> prefix);
  std::optional<Candidate> candidate(Waiting::const_iterator prompt) const;
  void begin_with(Active& prompt, const Candidate& candidate);
  void stop_waiting(PrefixNode* place);
  void give_back(PrefixNode& node);
  void keep_prefixes(Active& prompt, std::uint32_t before);
  bool keep_pages(PrefixNode& node, const Active& owner);
  bool keep_pages(PrefixNode& node, const Pages& pages, std::uint32_t rows);
  void leave_place(Active& prompt);
  bool give_back_prefixes();

  // Expected lengths, and what happens when they are exceeded (scheduler_growth.cpp).
  std::uint64_t expected_tokens(const Active& prompt) const;
  std::uint32_t pages_to_reserve(const Active& prompt, std::uint32_t generated) const;
  bool find_page(std::size_t nth);
  bool take_back_promise(PageGroup group, std::size_t nth);
  void put_back_youngest();
  bool drop_idle_pages(const Active* except);
  bool start_again(SlotId slot);
  std::uint32_t grows_for() const;

  // Rows.
  void plan_generated(std::uint32_t& budget);
  void plan_prompt(Active& prompt, std::uint32_t& budget);
  std::uint32_t rows_within(const Pages& pages, std::uint32_t position, std::uint32_t rows) const;
  void add_rows(RowKind kind, std::uint32_t rows, std::uint32_t position, Pages& pages);
  void add_tokens(const PromptWork& prompt, std::span<const TokenId> of, std::uint32_t first, std::uint32_t rows);
  std::uint32_t want_logits(std::uint32_t row);

  // Consequences.
  void advance_planned_rows();
  void draw(Entry& entry, TokenId token);
  void count(Active& prompt, std::uint64_t tokens);
  void continue_running(std::size_t nth, std::uint32_t rows);
  void finish(SlotId slot, FinishReason reason);
  void end_prefill(Active& prompt);
  void end_first_prefill(Active& prompt);
  void start_first_sample(SlotId slot);
  bool start(SlotId slot);
  void start_parked();
  void make_room();
  void slide(Pages& pages, std::uint32_t position);
  void close(Pages& pages);
  void recycle_finished();
};

}  // namespace moemill::schedule
