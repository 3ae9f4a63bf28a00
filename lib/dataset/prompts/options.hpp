// The optional sampling columns of prompts.h5 and their rules. Used by PromptFile only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/columns.hpp"

namespace moemill::dataset {

struct OptionColumns {
  std::optional<NumberColumn> n, temperature, top_p, top_k, min_p, repetition_penalty, presence_penalty,
      frequency_penalty, max_tokens, min_tokens, seed, logprobs;
  std::optional<TextColumn> stop, stop_token_ids;
  std::optional<SwitchColumn> ignore_eos, add_special_tokens;

  // Writes the values of the file's rows from `first` on over the run's defaults in `rows`. UserError naming dataset
  // and row for a value out of its range.
  void merge_into(std::vector<SamplingParams>& rows, std::uint64_t first) const;
  // The distinct strings of the column `stop` in the first rows, at most `most`. Values that are not lists are left to
  // merge_into.
  std::vector<std::string> stop_strings(std::uint64_t rows, std::size_t most) const;
  // UserError for a stop token in merged rows that is outside the vocabulary.
  void check_stop_tokens(const std::vector<SamplingParams>& rows, std::uint64_t first, std::uint32_t vocabulary) const;

 private:
  void merge_lists(std::vector<SamplingParams>& rows, std::uint64_t first) const;
  void check_min_tokens(const std::vector<SamplingParams>& rows, std::uint64_t first) const;
};

}  // namespace moemill::dataset
