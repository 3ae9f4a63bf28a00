#include "generate/double_bos.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "system/comm/agree.hpp"

namespace moemill::mill {
namespace {

constexpr std::size_t head_bytes = 256;  // enough bytes of a text to contain its first token if that is a special one
constexpr std::uint64_t block_prompts = 1024;

std::string_view head_of(std::string_view text) {
  std::size_t end = std::min(text.size(), head_bytes);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

FrontTokens::FrontTokens(const text::Tokenizer* tokenizer) : tokenizer_(tokenizer) {
  if (!tokenizer) return;
  const auto with = tokenizer->encode("a", text::AddSpecial::Yes), bare = tokenizer->encode("a", text::AddSpecial::No);
  tokens_.assign(with.begin(), std::search(with.begin(), with.end(), bare.begin(), bare.end()));
  if (any()) first_ = tokenizer->decode(std::span(tokens_).first(1), text::SkipSpecial::No);
}

bool FrontTokens::doubled_in(const dataset::Prompt& prompt) const {
  if (!any() || !prompt.add_special_tokens || prompt.fault) return false;
  const std::string_view head = head_of(prompt.text);
  if (first_.empty() || head.find(first_) == std::string_view::npos)
    return false;  // most texts, without tokenising them
  try {
    const auto tokens = tokenizer_->encode(head, text::AddSpecial::No);
    return !tokens.empty() && tokens[0] == tokens_[0];
  } catch (const text::TextError&) {
    return false;  // a row that will fail
  }
}

std::string FrontTokens::warning(std::uint64_t count, std::uint64_t prompts) const {
  if (count == prompts)
    return fmt::format(
        "{} with {}, the token that add_special_tokens adds: the model reads it twice; set "
        "input.add_special_tokens: false",
        count == 0 ? "begins" : fmt::format("all {} prompts begin", count), first_);
  return fmt::format(
      "{} of {} prompts begin with {}, the token that add_special_tokens adds: the model reads it twice; give these "
      "rows a 0 in a column add_special_tokens",
      count, prompts, first_);
}

std::uint64_t count_doubled(const Comm& world, const dataset::PromptFile& prompts, const SamplingParams& defaults,
                            const FrontTokens& front) {
  if (!front.any() || prompts.form() == dataset::PromptForm::TokenIds) return 0;
  const auto ranks = static_cast<std::uint64_t>(world.size()), rank = static_cast<std::uint64_t>(world.rank());
  std::uint64_t mine = 0;
  run_on_all_ranks(world, [&] {
    for (std::uint64_t first = rank * block_prompts; first < prompts.size(); first += ranks * block_prompts)
      for (const auto& prompt : prompts.read(first, std::min(block_prompts, prompts.size() - first), defaults))
        mine += front.doubled_in(prompt) ? 1 : 0;
  });
  const std::vector<std::uint64_t> all = gather(world, mine);
  return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
}

}  // namespace moemill::mill
