#include "commands/prompt_survey.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string_view>
#include <unordered_set>

#include "base/hash.hpp"
#include "base/numbers/rounding.hpp"
#include "schedule/step.hpp"

namespace moemill::mill {
namespace {

constexpr std::uint64_t block_prompts = 1024;
constexpr std::size_t most_examples = 5;

std::uint64_t hash_of(std::span<const TokenId> tokens, std::uint64_t before) {
  std::string_view bytes(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
  return stable_hash64(bytes) * 0x9e3779b97f4a7c15u + before;
}

struct Seen {
  std::unordered_set<std::uint64_t> prompts;
  std::unordered_set<std::uint64_t> pages;  // hash of a prompt's tokens up to the end of each page

  // The number of tokens, in whole pages at the start, that an earlier prompt has as well.
  std::uint64_t shared(std::span<const TokenId> tokens) {
    std::uint64_t hash = 0, shared = 0;
    bool still = true;
    for (std::size_t at = 0; at + schedule::page_tokens <= tokens.size(); at += schedule::page_tokens) {
      hash = hash_of(tokens.subspan(at, schedule::page_tokens), hash);
      still = !pages.insert(hash).second && still;
      if (still) shared += schedule::page_tokens;
    }
    return shared;
  }
};

void take(PromptSurvey& s, Seen& seen, const PreparedPrompt& p) {
  ++s.prompts;
  s.completions += p.sampling.n;
  if (p.fault) {
    s.failed_rows += p.sampling.n;
    ++s.failing[std::string(dataset::name_of(p.fault->code))];
    if (s.examples.size() < most_examples) s.examples.push_back(fmt::format("row {}: {}", p.index, p.fault->message));
    return;
  }
  const std::uint64_t length = p.tokens.size();
  s.tokens += length;
  s.squares += static_cast<double>(length) * static_cast<double>(length);
  s.longest = std::max(s.longest, length);
  s.longest_sequence = std::max(s.longest_sequence, length + p.sampling.max_tokens);
  s.most_new_tokens += std::uint64_t{p.sampling.n} * p.sampling.max_tokens;
  s.cut += length != p.full_length;
  s.duplicates += !seen.prompts.insert(hash_of(p.tokens, 0)).second;
  s.shared_tokens += seen.shared(p.tokens);
  const auto power = static_cast<std::size_t>(std::bit_width(length) - 1);
  if (s.histogram.size() <= power) s.histogram.resize(power + 1);
  ++s.histogram[power];
}

}  // namespace

PromptSurvey survey(const dataset::PromptFile& prompts, const SamplingParams& defaults,
                    const text::Tokenizer* tokenizer, const PrepareRules& rules,
                    const std::function<void(const PreparedPrompt&)>& each) {
  PromptSurvey s;
  Seen seen;
  const FrontTokens front(tokenizer);
  for (std::uint64_t first = 0; first < prompts.size(); first += block_prompts)
    for (const auto& prompt : prompts.read(first, std::min(block_prompts, prompts.size() - first), defaults)) {
      s.doubled += front.doubled_in(prompt);
      const PreparedPrompt prepared = prepare(prompt, tokenizer, rules);
      take(s, seen, prepared);
      if (!prepared.fault) each(prepared);
    }
  return s;
}

std::string histogram_text(const PromptSurvey& s) {
  constexpr std::uint64_t width = 40;
  const std::uint64_t most = s.histogram.empty() ? 0 : *std::max_element(s.histogram.begin(), s.histogram.end());
  std::string text;
  bool begun = false;
  for (std::size_t i = 0; i < s.histogram.size(); ++i) {
    begun = begun || s.histogram[i] > 0;
    if (!begun) continue;
    const std::uint64_t bar = divide_up(s.histogram[i] * width, most);
    text += fmt::format("  {:>7} - {:<7} {:>9}  {}\n", std::uint64_t{1} << i, (std::uint64_t{2} << i) - 1,
                        s.histogram[i], std::string(bar, '#'));
  }
  return text;
}

}  // namespace moemill::mill
