#include "plan/forecast/work_lengths.hpp"

#include <algorithm>
#include <numeric>

namespace moemill::mill {

void WorkLengths::add(std::uint32_t tokens, std::uint32_t max_tokens, std::uint32_t samples, std::uint32_t answer) {
  prompts.push_back({std::max(tokens, 1u), max_tokens, samples, answers.size()});
  answers.insert(answers.end(), samples, std::clamp(answer, std::min(max_tokens, 1u), max_tokens));
}

std::uint64_t WorkLengths::prompt_tokens() const {
  return std::accumulate(prompts.begin(), prompts.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const PromptLengths& prompt) { return sum + prompt.tokens; });
}

std::uint64_t WorkLengths::answer_tokens() const {
  return std::accumulate(answers.begin(), answers.end(), std::uint64_t{0});
}

WorkLengths every(const WorkLengths& work, std::uint64_t step) {
  WorkLengths some{work.sampling, {}, {}};
  for (std::size_t p = 0; p < work.prompts.size(); p += step) {
    PromptLengths prompt = work.prompts[p];
    const auto from = work.answers.begin() + static_cast<std::ptrdiff_t>(prompt.first_answer);
    prompt.first_answer = some.answers.size();
    some.answers.insert(some.answers.end(), from, from + prompt.samples);
    some.prompts.push_back(prompt);
  }
  return some;
}

}  // namespace moemill::mill
