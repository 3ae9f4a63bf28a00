// The rows that a range of prompts must have, in order. The input is read in blocks. Used by verify.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "dataset/outputs/shard.hpp"
#include "dataset/prompts/prompts.hpp"

namespace moemill::dataset {

// Returns the expected (prompt, sample) pairs one after the other.
class ExpectedRows {
 public:
  ExpectedRows(const PromptFile& prompts, ShardRange range, const SamplingParams& defaults)
      : prompts_(prompts), range_(range), defaults_(defaults) {}

  struct Row {
    std::uint64_t prompt;
    std::uint32_t sample;
    PromptId id;
    friend bool operator==(const Row&, const Row&) = default;
  };
  std::optional<Row> next() {
    if (sample_ == samples_) {
      if (prompt_ == range_.count) return std::nullopt;
      load(range_.first + prompt_++);
      sample_ = 0;
    }
    return Row{rows_[at_].index, sample_++, rows_[at_].id};
  }

 private:
  void load(std::uint64_t prompt) {
    constexpr std::uint64_t block = 1024;
    if (rows_.empty() || prompt >= first_ + rows_.size()) {
      first_ = prompt;
      rows_ = prompts_.read(prompt, std::min(block, range_.first + range_.count - prompt), defaults_);
    }
    at_ = prompt - first_;
    samples_ = rows_[at_].sampling.n;
  }

  const PromptFile& prompts_;
  ShardRange range_;
  const SamplingParams& defaults_;
  std::vector<Prompt> rows_;
  std::uint64_t first_ = 0, at_ = 0, prompt_ = 0;
  std::uint32_t sample_ = 0, samples_ = 0;
};

}  // namespace moemill::dataset
