// One rank's sequences: which prompts are admitted, which rows a step has, what a drawn token changes. Host only. The
// mill drives it: facts() -> decide() -> add() dealt prompts -> plan_step() -> forward and sampling -> commit().
//
// The policy: a prompt is admitted when a slot and all pages that one of its samples is expected to hold at a time are
// free, in both groups, and one more. What is expected is the mean length of the samples so far (of the prompt's, else
// of the rank's); before any has ended, max_tokens. A sample that becomes longer takes pages that nobody was promised,
// then those that the youngest samples were promised; when no page is free, the youngest sample is put back: its pages
// go, its tokens stay, and it is the first to start again, when its tokens are replayed. The waiting prompt with the
// most work goes first; only prompts that wait for rows which another one is computing are overtaken. Its rows are
// computed in chunks that fill the part of the step that generated rows leave, and pages outside the window are freed
// after each chunk. After its last row all its samples draw their first token. One sample continues in the prompt's
// pages; the others queue for a slot and pages (they share the full prompt pages and copy the partial page) and go
// before any new prompt, so n samples that do not fit together run one after another. Every running sequence has a row
// in every step; tokens are replayed several per step.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "schedule/facts.hpp"
#include "schedule/pages.hpp"
#include "schedule/sequence.hpp"
#include "schedule/step.hpp"

namespace moemill::schedule {

struct SchedulerSettings {
  std::uint32_t max_num_seqs = 256;             // sequences that hold pages at the same time
  std::uint32_t max_num_batched_tokens = 2048;  // rows per step
  std::uint32_t pages = 0;                      // this rank's KV pages in PageGroup::Full; 0: no such layers
  std::uint32_t max_model_len = 0;              // tokens of the longest sequence
  std::uint32_t window = 0;                     // positions that windowed layers see; 0: no such layers
  std::uint32_t window_pages = 0;               // this rank's KV pages in PageGroup::Window
  bool share_prefixes = false;                  // prompts that begin alike, beside samples of one prompt
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerSettings& settings);
  ~Scheduler();

  // Whether such a prompt fits the whole cache with one running sample; if there are several samples, the prompt's own
  // pages stay for the later ones. If it does not fit, the prompt must not be added and the job cannot continue,
  // because a layout setting must not decide whether a row fails.
  bool fits(std::uint64_t prompt_tokens, std::uint32_t max_tokens, std::uint32_t samples) const;
  void add(PromptWork prompt);
  // Prompts that begin with `prefix` will be added: it is held as if one of them were waiting already. In place of what
  // was expected before; nothing if it is empty.
  void expect_more(std::span<const TokenId> prefix);

  // Asks for so much more as it could start in the next `steps_ahead` steps, by the length of the samples so far.
  Facts facts(std::uint32_t steps_ahead = 0) const;
  // The rows of the next step; prompt rows only in phase Prefill. Frees the slots of finished sequences. The step and
  // uses() are valid until the next call.
  const Step& plan_step(const Decision& decision);
  // The purposes of the step's rows of logits, by ascending logit_index.
  std::span<const LogitUse> uses() const;
  // Takes one Drawn for each use with purpose Sample, in the order of uses(). Frees the pages of finished sequences at
  // once; the sequences can be read until the next plan_step(). Must be called after every step, even without rows.
  void commit(std::span<const Drawn> drawn);
  // In so many of the next steps there is one row for each running sequence and no other, unless one of them ends or a
  // prompt is added; 0 if that is not so in the next one.
  std::uint32_t only_continues() const;
  // So many steps of this kind at once, of counted prompts, in place of plan_step() and commit() with draws that end
  // nothing.
  void continue_all(std::uint32_t steps);
  // The sequences that ended in the last commit(), in a defined order.
  std::span<const SlotId> finished() const;

  const Sequence& sequence(SlotId slot) const;
  // Slots are numbered 0 .. slot_count() - 1. The count grows as needed: samples that wait for pages have a slot too.
  std::uint32_t slot_count() const;
  // Prompt rows so far that were not computed, because another prompt that begins alike had computed them.
  std::uint64_t shared_rows() const;
  std::uint64_t planned_rows() const;  // the same by the prompts' planned_tokens
  // Rows that were computed again, of samples that were put back and of their prompts.
  std::uint64_t prompt_rows_again() const;
  std::uint64_t generated_rows_again() const;
  bool idle() const;  // true if no prompt is on hand
  // After a Drain decision: every unfinished sample with generated tokens, by prompt and sample.
  std::vector<Partial> partials() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moemill::schedule
