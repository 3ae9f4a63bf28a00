#include "schedule/scheduler_state.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"

namespace moemill::schedule {

std::uint32_t pages_of_sample(std::uint64_t prompt_tokens, std::uint32_t max_tokens) {
  return pages_for(prompt_tokens + std::max(max_tokens, 1u) - 1);
}

std::uint32_t pages_of_sample(const PromptWork& work) {
  if (work.params.max_tokens == 0) return pages_for(work.prompt_rows());
  return pages_of_sample(work.length(), work.params.max_tokens);
}

bool GoesEarlier::operator()(const std::unique_ptr<Active>& a, const std::unique_ptr<Active>& b) const {
  return std::tuple(b->work.work(), a->work.prompt_index) < std::tuple(a->work.work(), b->work.prompt_index);
}

// Pages of a group that a prompt and one running sample need besides those that it shares with other prompts. With one
// sample they are one list. With several they are two, because the prompt keeps its pages for the samples to come.
std::uint32_t Scheduler::State::promise(PageGroup group, std::uint32_t shared_pages, std::uint32_t prompt_pages,
                                        std::uint32_t all_pages, std::size_t samples) const {
  const PagePool& p = pool(group);
  if (samples == 1) return p.promise(shared_pages, all_pages);
  return p.promise(shared_pages, prompt_pages) + p.promise(prompt_pages, all_pages);
}

bool Scheduler::State::fits_now(const Candidate& candidate) const {
  const Active& prompt = **candidate.prompt;
  const auto resumed = static_cast<std::uint32_t>(prompt.work.samples.front().resumed.size());
  const std::uint32_t pages = pages_to_reserve(prompt, resumed);
  return std::all_of(groups.begin(), groups.end(), [&](PageGroup g) {
    return promise(g, candidate.shared_pages(), pages_for(prompt.rows()), pages, prompt.work.samples.size()) <=
           pool(g).available();
  });
}

// The first prompt, from `from` on, that does not begin with rows that are being computed for another one; nothing if
// it does not fit.
std::optional<Candidate> Scheduler::State::next(Waiting::const_iterator from) const {
  if (!parked.empty() || free_places() == 0) return std::nullopt;
  for (auto it = from; it != waiting.end(); ++it) {
    const std::optional<Candidate> first = candidate(it);
    if (first) return fits_now(*first) ? first : std::nullopt;
  }
  return std::nullopt;
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

Active& Scheduler::State::admit(const Candidate& candidate) {
  active.push_back(std::move(waiting.extract(candidate.prompt).value()));
  Active& prompt = *active.back();
  waiting_work -= prompt.work_left();
  waiting_prompt_tokens -= prompt.own_rows;
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
    e.sequence.counted = 0;
    e.sequence.finish = FinishReason::None;
  }
  prompt.unfinished = static_cast<std::uint32_t>(prompt.slots.size());
  prompt.unstarted = prompt.unfinished - 1;

  if (!prompt.work.is_counted()) entry(prompt.slots.front()).sequence.generated.reserve(prompt.work.params.max_tokens);
  open_pages(prompt, prompt.slots.front(), candidate.shared_pages());
  if (prompt.place) begin_with(prompt, candidate);
  // Not before: its pages are those that were counted for it.
  for (const SampleWork& sample : prompt.work.samples) count(prompt, sample.resumed.size());
  prefilling.push_back(&prompt);
  return prompt;
}

// For the rows of a prompt and the sample that continues it.
void Scheduler::State::open_pages(Active& prompt, SlotId first, std::uint32_t shared_pages) {
  const std::uint32_t of_prompt = pages_for(prompt.rows()), last = pages_of_sample(prompt.work);
  const std::uint32_t end = pages_to_reserve(prompt, entry(first).sequence.length());
  for (PageGroup g : groups) {
    if (prompt.slots.size() == 1) {
      pool(g).open(list(prompt.pages, g), shared_pages, end, last);
    } else {
      pool(g).open(list(prompt.pages, g), shared_pages, of_prompt, of_prompt);
      pool(g).open(list(entry(first).pages, g), of_prompt, end, last);
    }
  }
}

std::uint32_t Scheduler::State::rows_within(const Pages& pages, std::uint32_t position, std::uint32_t rows) const {
  for (PageGroup g : groups) rows = pool(g).rows_within(list(pages, g), position, rows);
  return rows;
}

void Scheduler::State::add_rows(RowKind kind, std::uint32_t rows, std::uint32_t position, Pages& pages) {
  std::uint32_t page_count = pages_for(position + rows);
  // The lists of both groups have the same number of entries.
  auto first_page = static_cast<std::uint32_t>(step.pages[static_cast<std::size_t>(groups.front())].size());
  step.segments.push_back({kind, step.rows(), rows, position, first_page, page_count});
  for (std::uint32_t r = 0; r < rows; ++r) step.positions.push_back(position + r);
  for (PageGroup g : groups) {
    pool(g).reach(list(pages, g), position + rows);
    const auto& ids = list(pages, g).pages;
    auto& planned = step.pages[static_cast<std::size_t>(g)];
    planned.insert(planned.end(), ids.begin(), ids.begin() + page_count);
  }
}

void Scheduler::State::add_tokens(const PromptWork& prompt, std::span<const TokenId> of, std::uint32_t first,
                                  std::uint32_t rows) {
  if (prompt.is_counted()) {
    step.tokens.resize(step.tokens.size() + rows);
  } else {
    const auto tokens = of.subspan(first, rows);
    step.tokens.insert(step.tokens.end(), tokens.begin(), tokens.end());
  }
}

std::uint32_t Scheduler::State::want_logits(std::uint32_t row) {
  step.logit_rows.push_back(row);
  return static_cast<std::uint32_t>(step.logit_rows.size() - 1);
}

// One row for each running sequence, unless there is no page for it. Rows beyond one for each prefilling prompt go to
// replays of resumed tokens.
void Scheduler::State::plan_generated(std::uint32_t& budget) {
  std::uint32_t spare = budget - static_cast<std::uint32_t>(running.size() + prefilling.size());
  oldest_waits = false;
  for (std::size_t nth = 0; nth < running.size(); ++nth) {
    if (!find_page(nth)) {
      oldest_waits = nth == 0 && !running.empty();
      continue;
    }
    const SlotId slot = running[nth];
    Entry& e = entry(slot);
    std::uint32_t position = e.next_position();
    std::uint32_t rows = rows_within(e.pages, position, 1 + std::min(e.pending() - 1, spare));
    spare -= rows - 1, budget -= rows;
    add_rows(RowKind::Generated, rows, position, e.pages);
    add_tokens(e.prompt->work, e.sequence.generated, e.computed, rows);
    if (rows == e.pending()) {
      uses.push_back({want_logits(step.rows() - 1), LogitPurpose::Sample, slot, e.sequence.length()});
    }
  }
}

void Scheduler::State::plan_prompt(Active& prompt, std::uint32_t& budget) {
  std::uint32_t rows = rows_within(prompt.pages, prompt.computed, std::min(prompt.rows() - prompt.computed, budget));
  budget -= rows;
  if (rows == 0) return;
  std::uint32_t first_row = step.rows();
  add_rows(RowKind::Prompt, rows, prompt.computed, prompt.pages);
  add_tokens(prompt.work, prompt.work.tokens, prompt.computed, rows);
  if (prompt.again) {
    prompt_rows_again += rows;
    return;
  }

  std::uint32_t last = prompt.length() - 1;  // the row that predicts the first generated token
  for (std::uint32_t r = 0; prompt.work.params.prompt_logprobs && r < rows; ++r) {
    std::uint32_t position = prompt.computed + r;
    if (position == last) continue;
    uses.push_back({want_logits(first_row + r), LogitPurpose::PromptLogprob, prompt.slots.front(), position + 1});
  }
  if (prompt.computed + rows <= last) return;
  auto fresh = [&](SlotId slot) { return entry(slot).sequence.length() == 0; };
  if (std::none_of(prompt.slots.begin(), prompt.slots.end(), fresh)) return;
  std::uint32_t logit = want_logits(step.rows() - 1);
  for (SlotId slot : prompt.slots) {
    if (fresh(slot)) uses.push_back({logit, LogitPurpose::Sample, slot, 0});
  }
}

// The plan's segments are in the order of `running`, then of `prefilling`.
void Scheduler::State::advance_planned_rows() {
  std::size_t s = 0;
  for (SlotId slot : running) {
    if (oldest_waits && slot == running.front()) continue;
    Entry& e = entry(slot);
    e.computed += step.segments[s++].rows;
    slide(e.pages, e.next_position());
  }
  for (Active* prompt : prefilling) {
    if (s == step.segments.size() || prompt->computed == prompt->rows()) continue;
    const std::uint32_t before = prompt->computed;
    prompt->computed += step.segments[s++].rows;
    keep_prefixes(*prompt, before);
    slide(prompt->pages, prompt->computed);
  }
  expect(s == step.segments.size(), "scheduler: every planned segment is accounted for");
}

void Scheduler::State::draw(Entry& e, TokenId token) {
  if (e.prompt->work.is_counted()) {
    ++e.sequence.counted;
  } else {
    e.sequence.generated.push_back(token);
  }
  count(*e.prompt, 1);
}

void Scheduler::State::count(Active& prompt, std::uint64_t tokens) {
  lengths.tokens += tokens, prompt.lengths.tokens += tokens;
}

// So many steps of one row, page by page: a window frees a page before another one is taken.
void Scheduler::State::continue_running(std::size_t nth, std::uint32_t rows) {
  Entry& e = entry(running[nth]);
  expect(e.prompt->work.is_counted() && e.pending() == 1, "scheduler: several steps at once are of counted prompts");
  while (rows > 0) {
    const std::uint32_t position = e.next_position(), now = std::min(rows, page_tokens - position % page_tokens);
    expect(find_page(nth), "scheduler: only_continues() says for how many steps there are pages");
    for (PageGroup g : groups) pool(g).reach(list(e.pages, g), position + now);
    e.computed += now, e.sequence.counted += now, rows -= now;
    count(*e.prompt, now);
    slide(e.pages, e.next_position());
  }
  expect(e.sequence.length() < e.prompt->work.params.max_tokens, "scheduler: a sample ends at max_tokens");
}

void Scheduler::State::finish(SlotId slot, FinishReason reason) {
  Entry& e = entry(slot);
  e.sequence.finish = reason;
  close(e.pages);
  --e.prompt->unfinished;
  ++ended, ended_tokens += e.sequence.length();
  if (e.prompt->work.params.max_tokens > 0) ++lengths.ended, ++e.prompt->lengths.ended;
  finished.push_back(slot);
}

// Sequences that start in so many steps with all places taken: each place is taken again when its sample ends. Until a
// sample has ended, those on hand are taken to last as long as they may.
std::uint64_t Scheduler::State::starts_within(std::uint32_t steps, std::uint64_t work_left) const {
  const std::uint64_t on_hand = waiting_sequences + running.size() + prefilling.size();
  if (steps == 0 || taken_sequences == 0 || (ended == 0 && on_hand == 0)) return 0;
  const std::uint64_t lasts = ended > 0 ? ended_tokens / ended : work_left / on_hand;
  return divide_up(std::uint64_t{steps} * max_running, std::max<std::uint64_t>(lasts, 1));
}

void Scheduler::State::slide(Pages& pages, std::uint32_t position) {
  for (PageGroup g : groups) pool(g).slide(list(pages, g), position);
}

void Scheduler::State::close(Pages& pages) {
  for (PageGroup g : groups) pool(g).close(list(pages, g));
}

// Called when all prompt rows are in the cache and the first tokens are drawn.
void Scheduler::State::end_prefill(Active& prompt) {
  if (prompt.again) {
    start_first_sample(*std::exchange(prompt.again, std::nullopt));
  } else {
    end_first_prefill(prompt);
  }
  if (prompt.unstarted == 0) close(prompt.pages);
}

void Scheduler::State::end_first_prefill(Active& prompt) {
  for (std::size_t s = 0; s < prompt.slots.size(); ++s) {
    SlotId slot = prompt.slots[s];
    if (prompt.work.params.max_tokens == 0) finish(slot, FinishReason::Length);
    bool ended = entry(slot).sequence.finish != FinishReason::None;
    if (s == 0) {
      if (!ended) start_first_sample(slot);
    } else if (ended) {
      --prompt.unstarted;
    } else {
      parked.push_back(slot);
    }
  }
}

// The first sample continues in the prompt's pages.
void Scheduler::State::start_first_sample(SlotId slot) {
  Entry& e = entry(slot);
  Active& prompt = *e.prompt;
  if (prompt.slots.size() == 1) {
    e.pages = std::exchange(prompt.pages, {});
  } else {
    for (PageGroup g : groups) pool(g).share(list(prompt.pages, g), pages_for(prompt.rows()), list(e.pages, g));
  }
  running.push_back(slot);
}

// Gives a parked sample its pages: the prompt's full pages, the prompt's partial page (or a copy if another sample uses
// it), and a promise of the pages that it is expected to need after them. Returns false if a place or pages are
// lacking.
bool Scheduler::State::start(SlotId slot) {
  Entry& e = entry(slot);
  Active& prompt = *e.prompt;
  if (prompt.computed < prompt.rows()) return start_again(slot);
  const std::uint32_t full = prompt.length() / page_tokens, partial_tokens = prompt.length() % page_tokens;
  const std::uint32_t end = pages_to_reserve(prompt, e.sequence.length());
  auto shared = [&](PageGroup g) {
    const auto& pages = list(prompt.pages, g).pages;
    const bool copy = partial_tokens > 0 && pool(g).holders(pages.back()) > 1;
    return copy ? full : static_cast<std::uint32_t>(pages.size());
  };
  auto lacks = [&](PageGroup g) { return pool(g).promise(shared(g), end) > pool(g).available(); };
  if (free_places() == 0 || std::any_of(groups.begin(), groups.end(), lacks)) return false;

  for (PageGroup g : groups) {
    const std::uint32_t count = shared(g);
    PageList &from = list(prompt.pages, g), &to = list(e.pages, g);
    pool(g).open(to, count, end, pages_of_sample(prompt.work));
    pool(g).share(from, count, to);
    if (count == from.pages.size()) continue;
    pool(g).reach(to, prompt.length());
    copies.push_back({g, from.pages.back(), to.pages.back(), partial_tokens});
  }
  // Not before: a prompt may have very many samples.
  if (!prompt.work.is_counted()) e.sequence.generated.reserve(prompt.work.params.max_tokens);
  running.push_back(slot);
  if (--prompt.unstarted == 0) close(prompt.pages);
  return true;
}

// Starts parked samples strictly in order. Each of them starts eventually: no prompt is admitted while a sample is
// parked, and where nothing else can go on, make_room() leaves it the whole cache.
void Scheduler::State::start_parked() {
  std::size_t started = 0;
  while (started < parked.size() && start(parked[started])) ++started;
  parked.erase(parked.begin(), parked.begin() + static_cast<std::ptrdiff_t>(started));
}

// Prefixes that wait for their readers, and prompts whose samples are parked, take pages that admission did not count
// on. Where nothing else can go on, they are given back, and computed again when they are needed.
void Scheduler::State::make_room() {
  if (!running.empty() || !prefilling.empty() || (waiting.empty() && parked.empty()) || next()) return;
  drop_idle_pages(parked.empty() ? nullptr : entry(parked.front()).prompt);
  start_parked();
}

void Scheduler::State::recycle_finished() {
  for (SlotId slot : finished) {
    free_slots.push_back(slot);
    entry(slot).prompt = nullptr;
    entry(slot).sequence.prompt = nullptr;
    std::vector<TokenId>().swap(entry(slot).sequence.generated);
  }
  auto ended = [&](const auto& prompt) {
    if (prompt->unfinished > 0) return false;
    leave_place(*prompt);
    return true;
  };
  if (!finished.empty()) std::erase_if(active, ended);
  finished.clear();
}

}  // namespace moemill::schedule
