// The lengths of the prompts and answers of a run that `bench simulate` counts: made up, or those of a prompts.h5.
#pragma once

#include <cstdint>
#include <string>

#include "plan/forecast/answer_lengths.hpp"
#include "plan/forecast/work_lengths.hpp"

namespace moemill::bench {

constexpr std::uint32_t longest_text = 1 << 20;  // tokens

struct SimulatedWork {
  mill::WorkLengths lengths;
  std::uint64_t failing = 0;  // prompts of the file that would be failed rows; they are not among the lengths
};

SimulatedWork made_work(std::uint64_t prompts, const mill::AnswerLengths& input, const mill::AnswerLengths& output);

// Every prompt of the file, tokenised with the model's tokenizer if they are texts, with its columns n and max_tokens.
// An answer has a length of `output`, but at most the row's max_tokens, or as many as the model takes. UserError for a
// file that is none, for texts without a tokenizer in the model's folder, and if every prompt fails.
SimulatedWork work_of_file(const std::string& prompts, const std::string& model_dir, const mill::AnswerLengths& output);

}  // namespace moemill::bench
