#include <doctest/doctest.h>

#include "base/error.hpp"
#include "schedule/scheduler.hpp"

using namespace moemill;
using namespace moemill::schedule;

namespace {

PromptWork prompt(std::uint64_t index, std::size_t tokens, std::uint32_t samples, std::uint32_t max_tokens) {
  PromptWork p;
  p.prompt_index = index;
  for (std::size_t t = 0; t < tokens; ++t) p.tokens.push_back(static_cast<TokenId>(t));
  for (std::uint32_t s = 0; s < samples; ++s) p.samples.push_back({s, 100 + s, {}});
  p.params.max_tokens = max_tokens;
  return p;
}

Decision prefill(std::uint32_t row_limit = 4096) {
  Decision d;
  d.phase = Phase::Prefill, d.row_limit = row_limit;
  return d;
}

// Every use with purpose Sample draws its sequence's length as the token; the last of max_tokens tokens ends it.
void draw_and_commit(Scheduler& scheduler) {
  std::vector<Drawn> drawn;
  for (const LogitUse& use : scheduler.uses()) {
    if (use.purpose != LogitPurpose::Sample) continue;
    bool last = use.index + 1 == scheduler.sequence(use.slot).prompt->params.max_tokens;
    drawn.push_back({static_cast<TokenId>(use.index), last ? FinishReason::Length : FinishReason::None});
  }
  scheduler.commit(drawn);
}

}  // namespace

TEST_CASE("samples share full prompt pages and copy the partial one") {
  Scheduler scheduler({8, 256, 16, 1024});
  scheduler.add(prompt(0, 100, 3, 10));
  const Step& first = scheduler.plan_step(prefill());
  REQUIRE(first.segments.size() == 1);
  CHECK(first.segments[0].kind == RowKind::Prompt);
  CHECK(first.rows() == 100);
  REQUIRE(first.logit_rows == std::vector<std::uint32_t>{99});
  REQUIRE(scheduler.uses().size() == 3);  // all samples draw from the last prompt row
  std::vector<PageId> prompt_pages = first.pages[0];
  draw_and_commit(scheduler);

  const Step& second = scheduler.plan_step(prefill());
  REQUIRE(second.segments.size() == 3);
  REQUIRE(second.copies.size() == 2);
  for (std::size_t s = 0; s < 3; ++s) {
    const Segment& segment = second.segments[s];
    CHECK(segment.kind == RowKind::Generated);
    CHECK(segment.first_position == 100);
    CHECK(second.pages[0][segment.first_page] == prompt_pages[0]);
    PageId last = second.pages[0][segment.first_page + 1];
    if (s == 0) {
      CHECK(last == prompt_pages[1]);
    } else {
      CHECK(second.copies[s - 1].from == prompt_pages[1]);
      CHECK(second.copies[s - 1].to == last);
      CHECK(second.copies[s - 1].tokens == 36);
    }
  }
  CHECK(scheduler.facts().free_pages == 16 - 4);
}

TEST_CASE("samples that do not fit together run one after another and keep the prompt's pages") {
  Scheduler scheduler({8, 256, 3, 1024});  // 100 + 60 - 1 positions: three pages per sample
  REQUIRE(scheduler.fits(100, 60, 4));
  REQUIRE_FALSE(scheduler.fits(100, 94, 4));
  scheduler.add(prompt(0, 100, 4, 60));
  scheduler.add(prompt(1, 10, 1, 5));
  std::vector<std::uint64_t> order;
  std::uint64_t prompt_rows = 0;
  for (int step = 0; step < 1000 && !scheduler.idle(); ++step) {
    for (const Segment& s : scheduler.plan_step(prefill()).segments)
      prompt_rows += s.kind == RowKind::Prompt ? s.rows : 0;
    draw_and_commit(scheduler);
    for (SlotId slot : scheduler.finished()) {
      const Sequence& q = scheduler.sequence(slot);
      order.push_back(q.prompt->prompt_index * 10 + q.sample_index);
      CHECK(q.generated.size() == q.prompt->params.max_tokens);
    }
  }
  CHECK(order == std::vector<std::uint64_t>{0, 1, 2, 3, 10});
  CHECK(prompt_rows == 110);
}

TEST_CASE("only samples that run hold memory for all their tokens") {
  Scheduler scheduler({8, 256, 8, 1024});  // two samples of 228 positions at a time
  scheduler.add(prompt(0, 128, 20, 100));
  for (int step = 0; step < 1000 && !scheduler.idle(); ++step) {
    scheduler.plan_step(prefill());
    draw_and_commit(scheduler);
    std::size_t large = 0;
    for (std::uint32_t s = 0; s < scheduler.slot_count(); ++s)
      large += scheduler.sequence(SlotId{static_cast<std::int32_t>(s)}).generated.capacity() >= 100;
    CHECK(large <= 6);  // sequences that have just ended can still be read while others start
  }
  CHECK(scheduler.idle());
}

TEST_CASE("a model with windows everywhere holds a long text in its window's pages") {
  SchedulerSettings settings{.max_num_seqs = 4, .max_num_batched_tokens = 256, .max_model_len = 2000, .window = 100};
  settings.window_pages = 3;  // 100 positions touch three pages at most
  Scheduler scheduler(settings);
  CHECK(scheduler.fits(1000, 900, 1));
  CHECK_FALSE(scheduler.fits(1000, 900, 2));  // the prompt's window is kept for the second sample
  CHECK(scheduler.fits(100, 28, 2));          // two pages in all
  scheduler.add(prompt(0, 1000, 1, 900));
  std::size_t steps = 0;
  for (; !scheduler.idle(); ++steps) {
    REQUIRE(steps < 2000);
    const Step& step = scheduler.plan_step(prefill());
    REQUIRE(step.pages[0].empty());
    std::uint32_t held = 0;
    for (PageId page : step.pages[1]) held += page.value >= 0;
    REQUIRE(held <= 3);
    draw_and_commit(scheduler);
  }
  CHECK(steps < 900 + 1000 / 16);  // chunks that fit beside the window
  CHECK(scheduler.facts().free_pages == 3);
}

TEST_CASE("a step borrows pages that no list was promised, and prompts free theirs as they advance") {
  SchedulerSettings settings{.max_num_seqs = 2, .max_num_batched_tokens = 512, .pages = 64, .max_model_len = 2000};
  settings.window = 128, settings.window_pages = static_cast<std::uint32_t>(useful_window_pages(128, 1000, 2, 512));
  CHECK(settings.window_pages == 3 * 3 + 8);
  Scheduler scheduler(settings);
  scheduler.add(prompt(0, 1000, 1, 10));
  for (std::uint32_t computed = 0; computed < 1000; computed += 512) {
    const Step& step = scheduler.plan_step(prefill());
    REQUIRE(step.rows() == std::min(512u, 1000 - computed));  // as many rows as without a window
    REQUIRE(step.pages[0].size() == step.pages[1].size());
    draw_and_commit(scheduler);
  }
  // Full: 16 pages. Window: position 1000 sees positions from 873 on, in page 13 of 0 to 15.
  CHECK(scheduler.facts().free_pages == 64 - 16 + settings.window_pages - 3);
}

TEST_CASE("samples share what their prompt's window still holds, and copy the partial page in both groups") {
  Scheduler scheduler({.max_num_seqs = 8,
                       .max_num_batched_tokens = 512,
                       .pages = 32,
                       .max_model_len = 1024,
                       .window = 70,
                       .window_pages = 12});
  scheduler.add(prompt(0, 300, 2, 10));
  scheduler.plan_step(prefill());
  draw_and_commit(scheduler);
  const Step& step = scheduler.plan_step(prefill());
  REQUIRE(step.segments.size() == 2);
  for (const Segment& s : step.segments)
    for (std::uint32_t p = 0; p < 5; ++p) CHECK((step.pages[1][s.first_page + p].value >= 0) == (p >= 231 / 64));
  const std::uint32_t second = step.segments[1].first_page;
  REQUIRE(step.copies.size() == 2);
  for (const PageCopy& copy : step.copies) {
    const auto& pages = step.pages[static_cast<std::size_t>(copy.group)];
    CHECK(copy.from == pages[4]);
    CHECK(copy.to == pages[second + 4]);
    CHECK(copy.tokens == 300 - 4 * 64);
  }
  CHECK(step.pages[1][3] == step.pages[1][second + 3]);
}

TEST_CASE("long prompts come in chunks, beside generated rows, most work first") {
  Scheduler scheduler({4, 32, 64, 1024});
  scheduler.add(prompt(0, 8, 1, 20));
  scheduler.add(prompt(1, 50, 1, 20));
  const Step& first = scheduler.plan_step(prefill());
  REQUIRE(first.segments.size() == 1);
  CHECK(first.rows() == 32);
  CHECK(first.logit_rows.empty());
  draw_and_commit(scheduler);
  const Step& second = scheduler.plan_step(prefill());  // 18 of prompt 1, all 8 of prompt 0
  REQUIRE(second.segments.size() == 2);
  CHECK(second.segments[0].first_position == 32);
  CHECK(second.segments[0].rows == 18);
  CHECK(second.segments[1].rows == 8);
  draw_and_commit(scheduler);
  CHECK(scheduler.facts().generated_rows == 2);
  CHECK(scheduler.plan_step(prefill()).rows() == 2);
}

TEST_CASE("the row limit holds prompts back, never generated rows") {
  Scheduler scheduler({4, 32, 64, 1024});
  scheduler.add(prompt(0, 4, 4, 20));
  scheduler.plan_step(prefill());
  draw_and_commit(scheduler);
  scheduler.add(prompt(1, 20, 1, 20));
  CHECK(scheduler.plan_step(prefill(3)).rows() == 4);
}

TEST_CASE("resumed tokens are replayed in one segment, then the sample continues") {
  Scheduler scheduler({4, 32, 64, 1024});
  PromptWork p = prompt(0, 5, 1, 20);
  p.samples[0].resumed = {7, 8, 9};
  scheduler.add(p);
  CHECK(scheduler.partials().size() == 1);
  CHECK(scheduler.plan_step(prefill()).logit_rows.empty());  // nothing is drawn from the prompt
  draw_and_commit(scheduler);
  const Step& step = scheduler.plan_step(prefill());
  REQUIRE(step.segments.size() == 1);
  CHECK(step.segments[0].kind == RowKind::Generated);
  CHECK(step.tokens == std::vector<TokenId>{7, 8, 9});
  CHECK(step.positions == std::vector<std::uint32_t>{5, 6, 7});
  CHECK(step.logit_rows == std::vector<std::uint32_t>{2});
  REQUIRE(scheduler.uses().size() == 1);
  CHECK(scheduler.uses()[0].index == 3);
  draw_and_commit(scheduler);
  CHECK(scheduler.partials()[0].tokens.size() == 4);
}

TEST_CASE("a rank that hears late asks for what it will start meanwhile, by the length of the samples so far") {
  Scheduler scheduler({4, 256, 64, 1024});
  CHECK(scheduler.facts(100).wanted_sequences == 4);  // it knows of no lengths yet
  for (std::uint64_t p = 0; p < 4; ++p) scheduler.add(prompt(p, 20, 1, p < 2 ? 5 : 50));
  CHECK(scheduler.facts().wanted_sequences == 0);
  scheduler.plan_step(prefill());
  draw_and_commit(scheduler);
  CHECK(scheduler.facts().wanted_sequences == 0);
  CHECK(scheduler.facts(13).wanted_sequences == 2);  // 104 rows are left to four: 26 steps each
  for (int step = 1; step < 5; ++step) scheduler.plan_step({Phase::Decode, 0}), draw_and_commit(scheduler);
  REQUIRE(scheduler.finished().size() == 2);
  CHECK(scheduler.facts().wanted_sequences == 2);
  CHECK(scheduler.facts(10).wanted_sequences == 2 + 8);  // two have ended, after five tokens each
  CHECK(scheduler.facts(10).wanted_prompt_tokens == 2 * 256 + 8 * 20);
  for (std::uint64_t p = 4; p < 12; ++p) scheduler.add(prompt(p, 20, 1, 50));
  CHECK(scheduler.facts().wanted_sequences == 0);
  CHECK(scheduler.facts(10).wanted_sequences == 2);
}

TEST_CASE("a failed draw ends the sample without its token") {
  Scheduler scheduler({4, 32, 64, 1024});
  scheduler.add(prompt(0, 5, 2, 20));
  scheduler.plan_step(prefill());
  std::vector<Drawn> drawn = {{0, FinishReason::Error}, {3, FinishReason::None}};
  scheduler.commit(drawn);
  REQUIRE(scheduler.finished().size() == 1);
  CHECK(scheduler.sequence(scheduler.finished()[0]).generated.empty());
  CHECK(scheduler.plan_step(prefill()).rows() == 1);
}

TEST_CASE("a counted prompt takes the rows and pages of one with tokens, and several steps at once are as many steps") {
  for (const std::uint32_t window : {0u, 100u}) {
    CAPTURE(window);
    const SchedulerSettings settings{4, 256, 64, 1024, window, window > 0 ? 20u : 0u};
    Scheduler each(settings), at_once(settings);
    PromptWork counted = prompt(0, 0, 3, 400);
    counted.counted_tokens = 150;
    each.add(prompt(0, 150, 3, 400)), at_once.add(std::move(counted));
    CHECK(at_once.only_continues() == 0);
    for (int step = 0; step < 2; ++step) {
      const Step &a = each.plan_step(prefill()), &b = at_once.plan_step(prefill());
      CHECK(a.rows() == b.rows());
      CHECK(a.pages == b.pages);
      CHECK(a.logit_rows == b.logit_rows);
      draw_and_commit(each), draw_and_commit(at_once);
      CHECK(each.facts() == at_once.facts());
    }
    for (const std::uint32_t steps : {1u, 63u, 200u, 133u}) {  // the samples have 399 tokens in the end, of 400
      REQUIRE(at_once.only_continues() >= steps);
      for (std::uint32_t step = 0; step < steps; ++step) each.plan_step(prefill()), draw_and_commit(each);
      at_once.continue_all(steps);
      CHECK(each.facts() == at_once.facts());
    }
    const Step &a = each.plan_step(prefill()), &b = at_once.plan_step(prefill());
    CHECK(a.positions == b.positions);
    draw_and_commit(each), draw_and_commit(at_once);
    CHECK(at_once.finished().size() == 3);
    CHECK(each.facts() == at_once.facts());
    CHECK(at_once.idle());
  }
}

TEST_CASE("several steps at once are refused where something may end, start or be admitted") {
  Scheduler scheduler({4, 256, 64, 1024});
  PromptWork counted = prompt(0, 0, 1, 20);
  counted.counted_tokens = 30;
  scheduler.add(std::move(counted));
  CHECK_THROWS_AS(scheduler.continue_all(1), ContractViolation);  // it can be admitted
  scheduler.plan_step(prefill()), draw_and_commit(scheduler);
  CHECK_THROWS_AS(scheduler.continue_all(19), ContractViolation);  // it ends
  Scheduler tokens({4, 256, 64, 1024});
  tokens.add(prompt(0, 30, 1, 20));
  tokens.plan_step(prefill()), draw_and_commit(tokens);
  CHECK_THROWS_AS(tokens.continue_all(1), ContractViolation);  // somebody may read its tokens
}

TEST_CASE("broken preconditions are contract violations") {
  Scheduler scheduler({4, 32, 2, 100});
  CHECK_THROWS_AS(scheduler.add(prompt(0, 0, 1, 5)), ContractViolation);
  CHECK_THROWS_AS(scheduler.add(prompt(0, 5, 0, 5)), ContractViolation);
  CHECK_THROWS_AS(scheduler.add(prompt(0, 96, 1, 5)), ContractViolation);
  PromptWork done = prompt(0, 5, 1, 2);
  done.samples[0].resumed = {1, 2};
  CHECK_THROWS_AS(scheduler.add(done), ContractViolation);
  CHECK_THROWS_AS(scheduler.plan_step(Decision()), ContractViolation);
  scheduler.add(prompt(0, 5, 1, 5));
  scheduler.plan_step(prefill());
  CHECK_THROWS_AS(scheduler.commit({}), ContractViolation);
}
