#include "schedule/scheduler.hpp"

#include <algorithm>
#include <tuple>

#include "base/error.hpp"
#include "schedule/scheduler_state.hpp"

namespace moemill::schedule {

Scheduler::Scheduler(const SchedulerSettings& settings) : state_(std::make_unique<State>(settings)) {}
Scheduler::~Scheduler() = default;

bool Scheduler::fits(std::uint64_t prompt_tokens, std::uint32_t max_tokens, std::uint32_t samples) const {
  const State& s = *state_;
  return std::all_of(s.groups.begin(), s.groups.end(), [&](PageGroup g) {
    return s.promise(g, 0, pages_for(prompt_tokens), pages_of_sample(prompt_tokens, max_tokens), samples) <=
           s.pool(g).capacity();
  });
}

void Scheduler::add(PromptWork prompt) {
  State& s = *state_;
  expect(prompt.length() > 0 && !prompt.samples.empty(), "scheduler: a prompt has tokens and samples");
  expect(prompt.length() + prompt.params.max_tokens <= s.settings.max_model_len, "scheduler: a prompt fits the model");
  expect(fits(prompt.length(), prompt.params.max_tokens, static_cast<std::uint32_t>(prompt.samples.size())),
         "scheduler: a prompt fits the cache");
  for (const SampleWork& sample : prompt.samples) {
    expect(sample.resumed.empty() || sample.resumed.size() < prompt.params.max_tokens,
           "scheduler: a resumed sample has tokens to go");
    expect(sample.resumed.empty() || !prompt.is_counted(), "scheduler: a counted prompt has no tokens to resume");
  }
  auto waits = std::make_unique<Active>();
  waits->work = std::move(prompt);
  waits->own_rows = waits->rows();
  if (s.settings.share_prefixes && !waits->work.is_counted()) s.take_place(*waits);
  s.waiting_work += waits->work_left();
  s.waiting_prompt_tokens += waits->own_rows;
  s.waiting_sequences += waits->work.samples.size();
  s.taken_prompt_tokens += waits->own_rows;
  s.taken_sequences += waits->work.samples.size();
  s.waiting.insert(std::move(waits));
  s.make_room();
}

void Scheduler::expect_more(std::span<const TokenId> prefix) {
  if (state_->settings.share_prefixes) state_->expect_more(prefix);
}

Facts Scheduler::facts(std::uint32_t steps_ahead) const {
  const State& s = *state_;
  Facts f;
  f.work_left = s.waiting_work;
  std::uint64_t prefill_rows = 0;
  for (const Active* prompt : s.prefilling) prefill_rows += prompt->rows() - prompt->computed;
  for (const auto& prompt : s.active) {
    f.work_left += prompt->rows() - prompt->computed;
    for (SlotId slot : prompt->slots) {
      const Sequence& sequence = s.entry(slot).sequence;
      bool here = sequence.prompt == &prompt->work && sequence.finish == FinishReason::None;
      if (here) f.work_left += prompt->work.params.max_tokens - sequence.length();
    }
  }
  for (SlotId slot : s.running) f.generated_rows += s.entry(slot).pending();
  f.waiting_prompts = static_cast<std::uint32_t>(s.waiting.size());
  f.running = static_cast<std::uint32_t>(s.running.size() + s.prefilling.size());
  f.free_slots = s.free_places();
  for (PageGroup g : s.groups) f.free_pages += s.pool(g).free();

  const bool admits = s.next().has_value();
  f.free_rows = s.settings.max_num_batched_tokens - std::min(f.generated_rows, s.settings.max_num_batched_tokens);
  std::uint64_t prompt_rows = prefill_rows;
  if (admits) {
    std::uint64_t prompts = std::min<std::uint64_t>(s.waiting.size(), f.free_slots);
    prompt_rows += std::max<std::uint64_t>(s.waiting_prompt_tokens * prompts / s.waiting.size(), 1);
  }
  f.prompt_rows = static_cast<std::uint32_t>(std::min<std::uint64_t>(prompt_rows, s.settings.max_num_batched_tokens));
  // Wants lots only if the waiting prompts cannot fill the free slots and less than two steps' rows are on hand.
  bool blocked = !s.parked.empty() || (!s.waiting.empty() && !admits);
  const std::uint64_t ahead = s.starts_within(steps_ahead, f.work_left), starts = (blocked ? 0 : f.free_slots) + ahead;
  std::uint64_t rows_at_hand = prefill_rows + s.waiting_prompt_tokens;
  std::uint64_t rows_soon = 2 * std::uint64_t{s.settings.max_num_batched_tokens};
  if (ahead > 0)
    rows_soon += std::min(ahead * s.taken_prompt_tokens / s.taken_sequences,
                          std::uint64_t{steps_ahead} * s.settings.max_num_batched_tokens);
  if (starts > s.waiting_sequences && rows_soon > rows_at_hand) {
    f.wanted_sequences = static_cast<std::uint32_t>(std::min<std::uint64_t>(starts - s.waiting_sequences, 0xffffffffu));
    f.wanted_prompt_tokens = static_cast<std::uint32_t>(std::min<std::uint64_t>(rows_soon - rows_at_hand, 0xffffffffu));
  }
  return f;
}

const Step& Scheduler::plan_step(const Decision& decision) {
  expect(takes_a_step(decision.phase), "scheduler: a step is planned in a prefill or decode phase");
  State& s = *state_;
  s.recycle_finished();
  s.step.clear();
  s.uses.clear();
  s.step.copies.swap(s.copies);
  s.step.micro_batches = decision.micro_batches;

  std::uint32_t budget = s.settings.max_num_batched_tokens;
  s.plan_generated(budget);
  if (decision.phase == Phase::Prefill) {
    budget = std::min(budget, decision.row_limit - std::min(decision.row_limit, s.step.rows()));
    for (Active* prompt : s.prefilling) s.plan_prompt(*prompt, budget);
    // What a prompt waits for is not computed before the end of the step, so none that was passed over is looked at
    // again.
    for (auto from = s.waiting.begin(); budget > 0;) {
      const std::optional<Candidate> next = s.next(from);
      if (!next) break;
      from = std::next(next->prompt);
      s.plan_prompt(s.admit(*next), budget);
    }
  }
  return s.step;
}

void Scheduler::commit(std::span<const Drawn> drawn) {
  State& s = *state_;
  s.advance_planned_rows();
  std::size_t d = 0;
  for (const LogitUse& use : s.uses) {
    if (use.purpose != LogitPurpose::Sample) continue;
    expect(d < drawn.size(), "scheduler: one drawn token for each sample use");
    Sequence& sequence = s.entry(use.slot).sequence;
    if (drawn[d].finish != FinishReason::Error) s.draw(s.entry(use.slot), drawn[d].token);
    expect(drawn[d].finish != FinishReason::None || sequence.length() < sequence.prompt->params.max_tokens,
           "scheduler: a sample ends at max_tokens");
    if (drawn[d].finish != FinishReason::None) s.finish(use.slot, drawn[d].finish);
    ++d;
  }
  expect(d == drawn.size(), "scheduler: one drawn token for each sample use");

  std::erase_if(s.running, [&](SlotId slot) { return s.entry(slot).sequence.finish != FinishReason::None; });
  for (Active* prompt : s.prefilling) {
    if (prompt->computed == prompt->rows()) s.end_prefill(*prompt);
  }
  std::erase_if(s.prefilling, [](const Active* prompt) { return prompt->computed == prompt->rows(); });
  s.start_parked();
  s.make_room();
}

// Nothing can be admitted as long as no sequence ends: a page that one takes was promised to it, or is one that others
// lack. A window's promise shrinks before the end.
std::uint32_t Scheduler::only_continues() const {
  const State& s = *state_;
  const bool changes = !s.prefilling.empty() || !s.parked.empty();
  if (changes || (!s.waiting.empty() && (s.settings.window > 0 || s.next()))) return 0;
  return s.grows_for();
}

void Scheduler::continue_all(std::uint32_t steps) {
  State& s = *state_;
  expect(only_continues() >= steps, "scheduler: several steps at once have rows of running sequences only");
  s.recycle_finished();
  s.step.clear(), s.uses.clear(), s.copies.clear();
  for (std::size_t nth = 0; nth < s.running.size(); ++nth) s.continue_running(nth, steps);
}

std::span<const LogitUse> Scheduler::uses() const { return state_->uses; }
std::span<const SlotId> Scheduler::finished() const { return state_->finished; }
const Sequence& Scheduler::sequence(SlotId slot) const { return state_->entry(slot).sequence; }
std::uint64_t Scheduler::shared_rows() const { return state_->shared_rows; }
std::uint64_t Scheduler::planned_rows() const { return state_->planned_rows; }
std::uint64_t Scheduler::prompt_rows_again() const { return state_->prompt_rows_again; }
std::uint64_t Scheduler::generated_rows_again() const { return state_->generated_rows_again; }
std::uint32_t Scheduler::slot_count() const { return static_cast<std::uint32_t>(state_->entries.size()); }
bool Scheduler::idle() const {
  auto ended = [](const auto& prompt) { return prompt->unfinished == 0; };
  return state_->waiting.empty() && std::all_of(state_->active.begin(), state_->active.end(), ended);
}

std::vector<Partial> Scheduler::partials() const {
  const State& s = *state_;
  std::vector<Partial> all;
  for (const auto& prompt : s.active) {
    for (SlotId slot : prompt->slots) {
      const Sequence& q = s.entry(slot).sequence;
      if (q.prompt != &prompt->work || q.finish != FinishReason::None || q.generated.empty()) continue;
      all.push_back({prompt->work.prompt_index, q.sample_index, slot, q.generated});
    }
  }
  for (const auto& prompt : s.waiting) {
    for (const SampleWork& sample : prompt->work.samples) {
      if (sample.resumed.empty()) continue;
      all.push_back({prompt->work.prompt_index, sample.sample_index, SlotId{-1}, sample.resumed});
    }
  }
  std::sort(all.begin(), all.end(), [](const Partial& a, const Partial& b) {
    return std::tuple(a.prompt_index, a.sample_index) < std::tuple(b.prompt_index, b.sample_index);
  });
  return all;
}

}  // namespace moemill::schedule
