// A backend without a model, for tests of what drives one: the next token follows from all tokens that a sequence has
// in its pages, so a wrong row, page, copy or request shows in the tokens. Made for models without windows.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "generate/backend/backend.hpp"

namespace moemill::test {

class FakeBackend : public mill::Backend {
 public:
  explicit FakeBackend(std::uint32_t vocabulary) : vocabulary_(vocabulary) {}

  // The token that follows `tokens` in a sample with this seed, its log-probability, and the k-th best token there.
  static TokenId next(std::span<const TokenId> tokens, std::uint64_t seed, std::uint32_t vocabulary) {
    return static_cast<TokenId>((mix(tokens) ^ seed) % vocabulary);
  }
  static float logprob(std::span<const TokenId> tokens, TokenId token) {
    return -static_cast<float>((mix(tokens) + static_cast<std::uint64_t>(token)) % 1000) / 64;
  }

  // Sequences of `tokens` end in logits that are not finite.
  void break_after(std::vector<TokenId> tokens) { broken_ = std::move(tokens); }
  // Called with the number of each step, from 1 on, before it is computed.
  void on_step(std::function<void(std::size_t)> hook) { on_step_ = std::move(hook); }
  std::uint32_t largest_step() const { return largest_step_; }

  mill::WeightsPlan plan_weights(const mill::WeightsWanted&) override { return {}; }
  model::WeightsDigest load_weights(NodeMemory, const std::function<void()>&) override { return {}; }
  void prepare(layers::DomainSite, const layers::ForwardSettings&) override {}

  void while_computing(std::function<void()> hook) override { hook_ = std::move(hook); }
  void run(const schedule::Step& step) override {
    on_step_(++steps_);
    for (int piece = 0; hook_ && piece < 3; ++piece) hook_();
    largest_step_ = std::max(largest_step_, step.rows());
    for (const schedule::PageCopy& copy : step.copies) {
      for (std::uint32_t i = 0; i < copy.tokens; ++i) cache_[{copy.to.value, i}] = cache_.at({copy.from.value, i});
    }
    for (const schedule::Segment& s : step.segments) {
      for (std::uint32_t i = 0; i < s.rows; ++i)
        cache_[place(step, s, s.first_position + i)] = step.tokens[s.first_row + i];
    }
    seen_.clear();
    for (std::uint32_t row : step.logit_rows) seen_.push_back(tokens_up_to(step, row));
  }

  void draw(const sample::Draws& draws) override {
    for (std::size_t i = 0; i < draws.scores.size(); ++i) {
      draws.logprobs[i] = logprob(seen_.at(draws.scores[i].row), draws.scores[i].target);
    }
    for (std::size_t i = 0; i < draws.samples.size(); ++i) draws.results[i] = answer(draws.samples[i]);
  }

  void fill_cache(std::uint64_t) override {}
  const layers::ForwardTotals& totals() const override { return totals_; }
  std::span<const std::uint64_t> expert_counts() const override { return {}; }
  std::span<const std::uint64_t> node_picks() const override { return {}; }
  mill::BackendMemory memory() const override { return {}; }

 private:
  using Place = std::pair<std::int32_t, std::uint32_t>;  // page, token in it

  static std::uint64_t mix(std::span<const TokenId> tokens) {
    return stable_hash64({reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes()});
  }

  static Place place(const schedule::Step& step, const schedule::Segment& s, std::uint32_t position) {
    return {step.pages[0].at(s.first_page + position / schedule::page_tokens).value, position % schedule::page_tokens};
  }

  std::vector<TokenId> tokens_up_to(const schedule::Step& step, std::uint32_t row) const {
    for (const schedule::Segment& s : step.segments) {
      if (row < s.first_row || row >= s.first_row + s.rows) continue;
      std::vector<TokenId> tokens;
      for (std::uint32_t p = 0; p <= step.positions[row]; ++p) tokens.push_back(cache_.at(place(step, s, p)));
      return tokens;
    }
    throw ContractViolation("a wanted row lies in a segment");
  }

  sample::SampleResult answer(const sample::SampleRequest& request) const {
    const std::vector<TokenId>& tokens = seen_.at(request.row);
    // The request's own account of the sequence is what the cache has.
    expect(std::equal(request.prompt.begin(), request.prompt.end(), tokens.begin()) &&
               std::equal(request.generated.rbegin(), request.generated.rend(), tokens.rbegin()) &&
               tokens.size() == request.prompt.size() + request.generated.size(),
           "fake backend: a request is about the sequence of its row");
    if (!broken_.empty() && tokens == broken_) return {};
    const TokenId token = next(tokens, request.seed, vocabulary_);
    for (std::size_t k = 0; k < request.top.size(); ++k) {
      const auto best = static_cast<TokenId>((static_cast<std::size_t>(token) + k) % vocabulary_);
      request.top[k] = {best, logprob(tokens, best)};
    }
    return {token, true, logprob(tokens, token)};
  }

  const std::uint32_t vocabulary_;
  std::map<Place, TokenId> cache_;
  std::vector<std::vector<TokenId>> seen_;  // [wanted rows] of the last step
  std::vector<TokenId> broken_;
  std::function<void(std::size_t)> on_step_ = [](std::size_t) {};
  std::function<void()> hook_;
  std::size_t steps_ = 0;
  std::uint32_t largest_step_ = 0;
  layers::ForwardTotals totals_;
};

}  // namespace moemill::test
