#include "schedule/simulation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

#include "base/random.hpp"

namespace moemill::schedule::test {
namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) { return philox(hash, value)[0] | hash << 32; }

TokenId next_token(std::uint64_t prefix_hash, std::uint64_t seed, std::uint64_t number) {
  return static_cast<TokenId>(mix(mix(prefix_hash, seed), number) % 1000);
}

FinishReason verdict(TokenId token, std::size_t tokens, std::uint32_t max_tokens) {
  if (token % 100 == 7) return FinishReason::Stop;
  return tokens >= max_tokens ? FinishReason::Length : FinishReason::None;
}

// One rank: its scheduler and the tokens in its cache.
struct Rank {
  explicit Rank(const SchedulerSettings& s)
      : settings(s), scheduler(s), cache(s.pages, std::vector<TokenId>(page_tokens, -1)) {}

  std::uint64_t step(const Decision& decision, Outcome& outcome);

  SchedulerSettings settings;
  Scheduler scheduler;
  std::vector<std::vector<TokenId>> cache;

 private:
  void check_shape(const Step& step) const;
  std::vector<std::uint64_t> forward(const Step& step);
};

void Rank::check_shape(const Step& step) const {
  REQUIRE(step.rows() <= settings.max_num_batched_tokens);
  REQUIRE(step.segments.size() <= settings.max_num_seqs);
  REQUIRE(step.positions.size() == step.tokens.size());
  REQUIRE(std::is_sorted(step.logit_rows.begin(), step.logit_rows.end()));
  std::uint32_t row = 0;
  bool prompts_began = false;
  for (const Segment& segment : step.segments) {
    REQUIRE(segment.first_row == row);
    REQUIRE(segment.rows > 0);
    row += segment.rows;
    REQUIRE(segment.page_count == pages_for(segment.first_position + segment.rows));
    REQUIRE(segment.first_page + segment.page_count <= step.pages[0].size());
    prompts_began = prompts_began || segment.kind == RowKind::Prompt;
    REQUIRE((segment.kind == RowKind::Prompt) == prompts_began);
  }
  REQUIRE(row == step.rows());
}

// The hash of what each wanted row sees.
std::vector<std::uint64_t> Rank::forward(const Step& step) {
  auto page = [&](PageId id) -> std::vector<TokenId>& { return cache.at(static_cast<std::size_t>(id.value)); };
  for (const PageCopy& copy : step.copies) {
    std::copy_n(page(copy.from).begin(), copy.tokens, page(copy.to).begin());
  }
  for (const Segment& s : step.segments) {
    for (std::uint32_t r = 0; r < s.rows; ++r) {
      std::uint32_t position = s.first_position + r;
      REQUIRE(step.positions[s.first_row + r] == position);
      page(step.pages[0][s.first_page + position / page_tokens])[position % page_tokens] = step.tokens[s.first_row + r];
    }
  }
  std::vector<std::uint64_t> hashes;
  for (const Segment& s : step.segments) {
    std::uint64_t hash = 1;
    for (std::uint32_t position = 0; position < s.first_position + s.rows; ++position) {
      hash = mix(hash, static_cast<std::uint64_t>(
                           page(step.pages[0][s.first_page + position / page_tokens])[position % page_tokens]));
      if (position < s.first_position) continue;
      std::uint32_t row = s.first_row + position - s.first_position;
      if (std::binary_search(step.logit_rows.begin(), step.logit_rows.end(), row)) hashes.push_back(hash);
    }
  }
  REQUIRE(hashes.size() == step.logit_rows.size());
  return hashes;
}

std::uint64_t Rank::step(const Decision& decision, Outcome& outcome) {
  const Step& step = scheduler.plan_step(decision);
  check_shape(step);
  if (decision.phase == Phase::Decode) {
    for (const Segment& s : step.segments) REQUIRE(s.kind == RowKind::Generated);
  }
  for (const Segment& s : step.segments) outcome.prompt_rows += s.kind == RowKind::Prompt ? s.rows : 0;
  std::vector<std::uint64_t> hashes = forward(step);
  std::vector<Drawn> drawn;
  for (const LogitUse& use : scheduler.uses()) {
    const Sequence& sequence = scheduler.sequence(use.slot);
    if (use.purpose == LogitPurpose::PromptLogprob) {
      auto& scores = outcome.prompt_scores[sequence.prompt->prompt_index];
      REQUIRE(scores.size() + 1 == use.index);  // in order, each once
      scores.push_back(hashes[use.logit_index]);
      continue;
    }
    REQUIRE(use.index == sequence.generated.size());
    TokenId token = next_token(hashes[use.logit_index], sequence.seed, use.index);
    drawn.push_back({token, verdict(token, use.index + 1, sequence.prompt->params.max_tokens)});
  }
  std::uint64_t rows = step.rows();
  scheduler.commit(drawn);
  for (SlotId slot : scheduler.finished()) {
    const Sequence& q = scheduler.sequence(slot);
    bool first_time =
        outcome.completions.try_emplace({q.prompt->prompt_index, q.sample_index}, q.generated, q.finish).second;
    REQUIRE(first_time);
  }
  return rows;
}

ClaimState shards_of(const std::vector<PromptWork>& job, std::uint32_t prompts_a_shard) {
  std::vector<UnclaimedShard> shards;
  for (std::size_t p = 0; p < job.size(); ++p) {
    if (p % prompts_a_shard == 0) {
      shards.push_back({ShardId{static_cast<std::int32_t>(p / prompts_a_shard)}, 0, 0, 0});
    }
    shards.back().sequences += static_cast<std::uint32_t>(job[p].samples.size());
    shards.back().prompt_tokens += job[p].tokens.size();
    shards.back().work += job[p].work();
  }
  return ClaimState(std::move(shards));
}

}  // namespace

Outcome simulate(const std::vector<PromptWork>& job, const SimulationSettings& settings) {
  std::vector<std::unique_ptr<Rank>> ranks;
  for (std::uint32_t r = 0; r < settings.ranks; ++r) ranks.push_back(std::make_unique<Rank>(settings.scheduler));
  ClaimState claims = shards_of(job, settings.prompts_a_shard);
  // Every step computes a row or ends a prompt somewhere; replays and chunks included this is generous.
  std::uint64_t most_steps = 100;
  for (const PromptWork& p : job) most_steps += 2 + p.work();

  Outcome outcome;
  outcome.last_busy.assign(settings.ranks, 0);
  std::vector<Facts> facts(settings.ranks);
  for (;; ++outcome.steps) {
    REQUIRE(outcome.steps <= most_steps);
    for (std::uint32_t r = 0; r < settings.ranks; ++r) facts[r] = ranks[r]->scheduler.facts();
    if (static_cast<std::int64_t>(outcome.steps) == settings.drain_at_step) facts.back().wish = Wish::Drain;
    Decision decision = decide(facts, claims);
    outcome.end = decision.phase;
    if (!takes_a_step(decision.phase)) break;
    claims.take(decision.claims.size());
    for (const Claim& claim : decision.claims) {
      std::size_t first = static_cast<std::size_t>(claim.shard.value) * settings.prompts_a_shard;
      std::size_t last = std::min<std::size_t>(first + settings.prompts_a_shard, job.size());
      for (std::size_t p = first; p < last; ++p)
        ranks[static_cast<std::size_t>(claim.rank.value)]->scheduler.add(job[p]);
    }
    std::uint64_t slowest = 0, all = 0;
    for (std::uint32_t r = 0; r < settings.ranks; ++r) {
      std::uint64_t rows = ranks[r]->step(decision, outcome);
      if (rows > 0) outcome.last_busy[r] = outcome.steps;
      slowest = std::max(slowest, rows), all += rows;
    }
    outcome.rows += all, outcome.slowest_rows += slowest;
  }
  for (const auto& rank : ranks) {
    for (const Partial& partial : rank->scheduler.partials()) {
      outcome.partials[{partial.prompt_index, partial.sample_index}].assign(partial.tokens.begin(),
                                                                            partial.tokens.end());
    }
    if (outcome.end != Phase::Finished) continue;
    CHECK(rank->scheduler.idle());
    CHECK(rank->scheduler.facts().free_pages == settings.scheduler.pages);
    CHECK(rank->scheduler.facts().work_left == 0);
  }
  return outcome;
}

Outcome by_definition(const std::vector<PromptWork>& job) {
  Outcome outcome;
  for (const PromptWork& prompt : job) {
    std::uint64_t hash = 1;
    for (std::size_t p = 0; p < prompt.tokens.size(); ++p) {
      hash = mix(hash, static_cast<std::uint64_t>(prompt.tokens[p]));
      bool scored = prompt.params.prompt_logprobs && p + 1 < prompt.tokens.size();
      if (scored) outcome.prompt_scores[prompt.prompt_index].push_back(hash);
    }
    for (const SampleWork& sample : prompt.samples) {
      Completion done;
      std::uint64_t prefix = hash;
      if (prompt.params.max_tokens == 0) done.finish = FinishReason::Length;
      while (done.finish == FinishReason::None) {
        TokenId token = next_token(prefix, sample.seed, done.tokens.size());
        done.tokens.push_back(token);
        done.finish = verdict(token, done.tokens.size(), prompt.params.max_tokens);
        prefix = mix(prefix, static_cast<std::uint64_t>(token));
      }
      outcome.completions[{prompt.prompt_index, sample.sample_index}] = done;
    }
  }
  return outcome;
}

std::vector<PromptWork> random_job(std::uint64_t seed, const JobShape& shape) {
  std::uint64_t counter = 0;
  auto draw = [&](std::uint32_t below) { return philox(seed, counter++)[0] % below; };
  std::vector<PromptWork> job(shape.prompts);
  for (std::uint32_t p = 0; p < shape.prompts; ++p) {
    PromptWork& prompt = job[p];
    prompt.prompt_index = p;
    prompt.tokens.resize(1 + draw(shape.longest_prompt));
    for (TokenId& token : prompt.tokens) token = static_cast<TokenId>(draw(1000));
    prompt.params.max_tokens = draw(8) == 0 ? draw(2) : 1 + draw(shape.longest_completion);
    prompt.params.prompt_logprobs = draw(4) == 0;
    prompt.params.n = 1 + draw(shape.most_samples);
    for (std::uint32_t s = 0; s < prompt.params.n; ++s) prompt.samples.push_back({s, sample_seed(seed, p, s), {}});
  }
  return job;
}

}  // namespace moemill::schedule::test
