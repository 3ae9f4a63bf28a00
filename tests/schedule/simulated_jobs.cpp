#include <algorithm>
#include <span>
#include <vector>

#include "base/numbers/random.hpp"
#include "schedule/simulated_model.hpp"
#include "schedule/simulation.hpp"

namespace moemill::schedule::test {

Outcome by_definition(const std::vector<PromptWork>& job, const SchedulerSettings& layers) {
  Outcome outcome;
  for (const PromptWork& prompt : job) {
    std::uint64_t hash = 1;
    for (std::size_t p = 0; p < prompt.tokens.size(); ++p) {
      hash = mix(hash, static_cast<std::uint64_t>(prompt.tokens[p]));
      const bool scored = prompt.params.prompt_logprobs && p + 1 < prompt.tokens.size();
      if (scored)
        outcome.prompt_scores[prompt.prompt_index].push_back(
            score_of(sight(hash, std::span(prompt.tokens).first(p + 1), layers)));
    }
    for (const SampleWork& sample : prompt.samples) {
      Completion done;
      std::uint64_t prefix = hash;
      std::vector<TokenId> tokens = prompt.tokens;
      if (prompt.params.max_tokens == 0) done.finish = FinishReason::Length;
      while (done.finish == FinishReason::None) {
        TokenId token = next_token(sight(prefix, tokens, layers), sample.seed, done.tokens.size());
        done.tokens.push_back(token);
        tokens.push_back(token);
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
    if (p > 0 && shape.alike > 0 && draw(10) < shape.alike) {
      const std::vector<TokenId>& earlier = job[draw(p)].tokens;
      const std::size_t common = std::min(earlier.size(), prompt.tokens.size());
      std::copy_n(earlier.begin(), draw(4) == 0 ? common : draw(static_cast<std::uint32_t>(common) + 1),
                  prompt.tokens.begin());
      if (draw(4) == 0) prompt.tokens = earlier;
    }
    prompt.params.max_tokens = draw(8) == 0 ? draw(2) : 1 + draw(shape.longest_completion);
    prompt.params.prompt_logprobs = draw(4) == 0;
    prompt.params.n = 1 + draw(shape.most_samples);
    for (std::uint32_t s = 0; s < prompt.params.n; ++s) prompt.samples.push_back({s, sample_seed(seed, p, s), {}});
  }
  return job;
}

}  // namespace moemill::schedule::test
