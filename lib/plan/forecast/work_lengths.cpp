#include "plan/forecast/work_lengths.hpp"

#include <algorithm>
#include <numeric>

namespace moemill::mill {

void WorkLengths::add(std::uint32_t tokens, std::uint32_t max_tokens, std::uint32_t samples, std::uint32_t answer) {
  prompts.push_back({std::max(tokens, 1u), max_tokens, samples, answers.size()});
  answers.insert(answers.end(), samples, std::clamp(answer, std::min(max_tokens, 1u), max_tokens));
}

void WorkLengths::take(const PromptLengths& prompt, const WorkLengths& from) {
  prompts.push_back(prompt);
  prompts.back().first_answer = answers.size();
  const auto first = from.answers.begin() + static_cast<std::ptrdiff_t>(prompt.first_answer);
  answers.insert(answers.end(), first, first + prompt.samples);
}

std::uint64_t WorkLengths::prompt_tokens() const {
  return std::accumulate(prompts.begin(), prompts.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const PromptLengths& prompt) { return sum + prompt.tokens; });
}

std::uint64_t WorkLengths::answer_tokens() const {
  return std::accumulate(answers.begin(), answers.end(), std::uint64_t{0});
}

std::uint32_t WorkLengths::longest_sequence() const {
  std::uint32_t longest = 1;
  for (const PromptLengths& prompt : prompts) longest = std::max(longest, prompt.tokens + prompt.max_tokens);
  return longest;
}

WorkLengths sample_of(const WorkLengths& work, std::uint64_t count) {
  WorkLengths some{work.sampling, {}, {}};
  const std::uint64_t all = work.prompts.size(), wanted = std::min(count, all);
  for (std::uint64_t i = 0; i < wanted; ++i) some.take(work.prompts[i * all / wanted], work);
  return some;
}

}  // namespace moemill::mill
