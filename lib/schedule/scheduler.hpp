// One rank's sequences: who is admitted, which rows a step has, what a drawn token changes. Host only; the mill drives
// it: facts() -> decide() -> add() what was claimed -> plan_step() -> forward and sampling -> commit().
//
// The policy. A prompt is admitted when a slot and all pages that one of its samples may ever need at a time are free,
// in both groups, so nothing is thrown away or computed twice for lack of memory; of those waiting the one with most
// work goes first, and nobody overtakes it. Its rows fill what the generated rows leave of the step, in chunks, and
// pages outside the window go back after each. After its last row all its samples
// draw their first token; one goes on in the pages at hand, the others queue for a slot and pages (they share the full
// prompt pages and copy the partial one) and go before any new prompt: so n samples that do not fit together follow one
// another. Every running sequence has a row in every step; resumed tokens are replayed several a step.
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
  std::uint32_t max_num_seqs = 256;             // sequences that hold pages at a time
  std::uint32_t max_num_batched_tokens = 2048;  // rows of a step
  std::uint32_t pages = 0;                      // KV pages of this rank: of PageGroup::Full; 0: no such layers
  std::uint32_t max_model_len = 0;              // tokens of the longest sequence
  std::uint32_t window = 0;                     // positions that layers with a window see; 0: no such layers
  std::uint32_t window_pages = 0;               // of PageGroup::Window
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerSettings& settings);
  ~Scheduler();

  // Whether one sample of such a prompt at a time fits the whole cache; where there are several, the prompt's pages
  // stay for the later ones. If not the prompt must not be added, and the job cannot go on: whether a row fails must
  // not depend on a setting of the layout.
  bool fits(std::uint64_t prompt_tokens, std::uint32_t max_tokens, std::uint32_t samples) const;
  void add(PromptWork prompt);

  Facts facts() const;
  // The rows of the next step. Prompt rows only in phase Prefill. Frees the slots of finished sequences. The step
  // and uses() are valid until the next call.
  const Step& plan_step(const Decision& decision);
  // What the step's wanted logits are for, by ascending logit_index.
  std::span<const LogitUse> uses() const;
  // One Drawn for each Sample use, in the order of uses(). Pages of finished sequences are free at once; the sequences
  // can be read until the next plan_step(). Call it after every step, also one without rows.
  void commit(std::span<const Drawn> drawn);
  // Sequences that ended in the last commit(), in a defined order.
  std::span<const SlotId> finished() const;

  const Sequence& sequence(SlotId slot) const;
  // Slots are 0 .. slot_count() - 1; it grows as needed: samples that wait for pages have a slot too.
  std::uint32_t slot_count() const;
  bool idle() const;  // nothing on hand
  // After a Drain decision: every unfinished sample with generated tokens, by prompt and sample.
  std::vector<Partial> partials() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moemill::schedule
