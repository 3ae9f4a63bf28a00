#include "sample/stopping.hpp"

#include <algorithm>

namespace moemill::sample {

using schedule::FinishReason;

std::vector<TokenId> stop_tokens(const SamplingParams& params, std::span<const TokenId> eos) {
  std::vector<TokenId> tokens(params.stop_token_ids.begin(), params.stop_token_ids.end());
  if (!params.ignore_eos) tokens.insert(tokens.end(), eos.begin(), eos.end());
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

void Stopping::start(const SamplingParams& params, std::span<const TokenId> stop_tokens) {
  params_ = &params;
  stop_tokens_ = stop_tokens;
  tokens_ = 0;
  text_bytes_ = 0;
  longest_stop_ = 0;
  for (const std::string& stop : params.stop) longest_stop_ = std::max(longest_stop_, stop.size());
  tail_.clear();
  stop_string_.clear();
  const RepetitionDetection& repetition = params.repetition_detection;
  bool detects = repetition.max_pattern_size > 0 && repetition.min_count > 1;
  recent_.assign(detects ? repetition.max_pattern_size : 0, 0);
  matches_.assign(recent_.size(), 0);
}

FinishReason Stopping::push(TokenId token, std::string_view text) {
  const std::uint32_t before = tokens_++;
  const bool repeats = finds_repetition(token);
  if (before >= params_->min_tokens && std::binary_search(stop_tokens_.begin(), stop_tokens_.end(), token)) {
    return FinishReason::Stop;
  }
  if (finds_stop_string(text)) return FinishReason::StopString;
  if (tokens_ >= params_->max_tokens) return FinishReason::Length;
  if (repeats && before >= params_->min_tokens) return FinishReason::Repetition;
  return FinishReason::None;
}

// Looks for the match that begins first among those that end in `text`. The tail is one byte shorter than the longest
// stop string, so every such match lies in tail + text.
bool Stopping::finds_stop_string(std::string_view text) {
  const std::size_t tail_bytes = tail_.size();
  const std::size_t text_before = text_bytes_;
  text_bytes_ += text.size();
  if (longest_stop_ == 0 || text.empty()) return false;
  tail_.append(text);
  if (tokens_ > params_->min_tokens) {
    std::size_t first = std::string::npos;
    for (const std::string& stop : params_->stop) {
      if (stop.empty()) continue;
      std::size_t from = tail_bytes >= stop.size() ? tail_bytes - stop.size() + 1 : 0;
      const std::size_t found = tail_.find(stop, from);
      if (found >= first) continue;
      first = found;
      stop_string_ = stop;
    }
    if (first != std::string::npos) {
      text_bytes_ = text_before - tail_bytes + first;
      return true;
    }
  }
  if (tail_.size() >= longest_stop_) tail_.erase(0, tail_.size() - (longest_stop_ - 1));
  return false;
}

// The last tokens are a pattern of p tokens min_count times over when each of the last p * (min_count - 1) equals the
// one p before it.
bool Stopping::finds_repetition(TokenId token) {
  bool found = false;
  const std::size_t size = recent_.size();
  for (std::size_t p = 1; p <= size; ++p) {
    bool same = tokens_ > p && recent_[(tokens_ - 1 - p) % size] == token;
    matches_[p - 1] = same ? matches_[p - 1] + 1 : 0;
    std::uint64_t needed = std::uint64_t{p} * (params_->repetition_detection.min_count - 1);
    found = found || matches_[p - 1] >= needed;
  }
  if (size > 0) recent_[(tokens_ - 1) % size] = token;
  return found;
}

}  // namespace moemill::sample
