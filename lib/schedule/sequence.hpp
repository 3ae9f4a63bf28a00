// Prompts and their samples as the scheduler keeps them, and the purpose of each row of logits of a step. generate/
// makes PromptWork from a shard's rows; generate/ and sample/ read Sequence through Scheduler::sequence().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/finish_reason.hpp"
#include "base/ids.hpp"
#include "base/run_config.hpp"

namespace moemill::schedule {

using moemill::FinishReason;

// One sample that is still to be generated. `resumed` holds the tokens (fewer than max_tokens) that an earlier attempt
// generated and saved at a drain: they are computed again as generated rows, then generation continues.
struct SampleWork {
  std::uint32_t sample_index = 0;
  std::uint64_t seed = 0;  // this sample's seed (sample_seed in base/numbers/random.hpp)
  std::vector<TokenId> resumed;
};

// One prompt with its missing samples (at least one). `params` are the prompt's own settings, with max_tokens already
// reduced so that tokens + max_tokens <= max_model_len, and prompt_logprobs off if an earlier attempt has stored them.
struct PromptWork {
  std::uint64_t prompt_index = 0;
  std::vector<TokenId> tokens;  // at least one
  SamplingParams params;
  std::vector<SampleWork> samples;
  // Where only lengths matter, so many tokens in place of `tokens`: its samples keep none either, and a step's are 0.
  std::uint32_t counted_tokens = 0;
  std::uint32_t planned_tokens = 0;  // that other prompts have computed before, by the run's plan; for counting only
  // [tokens] log-probabilities of the prompt's own tokens, if params.prompt_logprobs. Whoever draws writes them as
  // their rows are computed; those of a prefix that another prompt has computed are copied at admission.
  std::shared_ptr<std::vector<float>> scores = {};

  bool is_counted() const { return counted_tokens > 0; }
  std::uint64_t length() const { return is_counted() ? counted_tokens : tokens.size(); }

  // Rows of the prompt itself, which its samples share.
  std::uint64_t prompt_rows() const {
    if (params.max_tokens > 0) return length();
    return params.prompt_logprobs ? length() - 1 : 0;  // scoring: the last token's prediction is not needed
  }
  // Rows that this prompt and its samples may need at most.
  std::uint64_t work() const { return prompt_rows() + samples.size() * std::uint64_t{params.max_tokens}; }
};

// One sample in flight. Its slot number is not reused until the first plan_step() after it finished.
struct Sequence {
  const PromptWork* prompt = nullptr;
  std::uint32_t sample_index = 0;
  std::uint64_t seed = 0;
  std::vector<TokenId> generated;  // all tokens so far, resumed ones included
  std::uint32_t resumed = 0;       // number of tokens that come from an earlier attempt
  std::uint32_t counted = 0;       // tokens so far of a counted prompt's sample, in place of `generated`
  FinishReason finish = FinishReason::None;

  std::uint32_t length() const { return counted + static_cast<std::uint32_t>(generated.size()); }
};

enum class LogitPurpose : std::uint8_t {
  Sample,        // sequence(slot) draws token `index` of its completion from this row
  PromptLogprob  // this row predicts prompt token `index` of sequence(slot).prompt
};

struct LogitUse {
  std::uint32_t logit_index;  // index into Step::logit_rows; several samples may use one row
  LogitPurpose purpose;
  SlotId slot;
  std::uint32_t index;
};

// The result of one use with purpose Sample. If finish is Error the token is not appended.
struct Drawn {
  TokenId token = 0;
  FinishReason finish = FinishReason::None;
};

// The state of one sample that a drain saves.
struct Partial {
  std::uint64_t prompt_index;
  std::uint32_t sample_index;
  SlotId slot;                      // -1 if the sample has not been admitted and has only its resumed tokens
  std::span<const TokenId> tokens;  // tokens generated so far, at least one; valid until the scheduler changes
};

}  // namespace moemill::schedule
