// Prompts and their samples as the scheduler keeps them, and what the wanted logits of a step are for. The mill makes
// PromptWork from a shard's rows; it and sample/ read Sequence through Scheduler::sequence().
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "base/run_config.hpp"

namespace moemill::schedule {

// Values as in /completions/finish_reason.
enum class FinishReason : std::uint8_t { None = 0, Stop = 1, Length = 2, StopString = 3, Repetition = 4, Error = 5 };

// One sample that is still to be made. `resumed` are the tokens that an earlier attempt generated and saved at a drain:
// they are computed again as generated rows and then continued. Fewer than max_tokens.
struct SampleWork {
  std::uint32_t sample_index = 0;
  std::uint64_t seed = 0;  // of this sample (base/random.hpp sample_seed)
  std::vector<TokenId> resumed;
};

// One prompt with its missing samples (at least one). params are the prompt's own, with max_tokens already reduced so
// that tokens + max_tokens <= max_model_len, and prompt_logprobs off when they are known from an earlier attempt.
struct PromptWork {
  std::uint64_t prompt_index = 0;
  std::vector<TokenId> tokens;  // at least one
  SamplingParams params;
  std::vector<SampleWork> samples;

  // Rows this prompt may need: its own (shared by the samples), and each sample's up to max_tokens.
  std::uint64_t prompt_rows() const {
    if (params.max_tokens > 0) return tokens.size();
    return params.prompt_logprobs ? tokens.size() - 1 : 0;  // only scored: the last token predicts nothing we want
  }
  std::uint64_t work() const { return prompt_rows() + samples.size() * std::uint64_t{params.max_tokens}; }
};

// One sample in flight. Its slot number stays its own until the plan of the step after it finished.
struct Sequence {
  const PromptWork* prompt = nullptr;
  std::uint32_t sample_index = 0;
  std::uint64_t seed = 0;
  std::vector<TokenId> generated;  // all tokens so far, resumed ones included
  std::uint32_t resumed = 0;       // how many of them come from an earlier attempt
  FinishReason finish = FinishReason::None;
};

enum class LogitPurpose : std::uint8_t {
  Sample,        // sequence(slot) draws its next token, number `index` of its completion, from this row
  PromptLogprob  // the row predicts prompt token `index` of sequence(slot).prompt
};

struct LogitUse {
  std::uint32_t logit_index;  // into Step::logit_rows; several samples may use one row
  LogitPurpose purpose;
  SlotId slot;
  std::uint32_t index;
};

// What became of one Sample use. With finish Error the token is not appended.
struct Drawn {
  TokenId token = 0;
  FinishReason finish = FinishReason::None;
};

// What a drain saves of one sample.
struct Partial {
  std::uint64_t prompt_index;
  std::uint32_t sample_index;
  SlotId slot;                      // -1 when it is waiting and has only its resumed tokens
  std::span<const TokenId> tokens;  // generated so far, at least one; valid until the scheduler changes
};

}  // namespace moemill::schedule
