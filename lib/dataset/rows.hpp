// The rows that a run makes: one Completion a (prompt, sample), one PromptScore a scored prompt. Made by mill/, kept in
// the journal, written to shards. Plain values; the numbers of the enums are the ones stored in outputs.h5.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.hpp"

namespace moemill::dataset {

enum class RowStatus : std::uint8_t { Pending = 0, Ok = 1, Failed = 2, Skipped = 3 };

enum class FinishReason : std::uint8_t { None = 0, Stop = 1, Length = 2, StopString = 3, Repetition = 4, Error = 5 };

enum class ErrorCode : std::uint8_t { TooLong = 0, Empty = 1, BadUtf8 = 2, BadToken = 3, Internal = 4 };

// By their numbers, as the attributes of outputs.h5 name them.
constexpr std::array<std::string_view, 4> status_names = {"pending", "ok", "failed", "skipped"};
constexpr std::array<std::string_view, 6> finish_reason_names = {"none",        "stop",       "length",
                                                                 "stop_string", "repetition", "error"};
constexpr std::array<std::string_view, 5> error_code_names = {"too_long", "empty", "bad_utf8", "bad_token", "internal"};

std::string_view name_of(ErrorCode code);  // "too_long", "empty", ... as stored in /errors/code
std::optional<ErrorCode> parse_error_code(std::string_view name);

// Why a prompt cannot be worked on: it becomes failed rows, the others are unharmed.
struct RowFault {
  ErrorCode code = ErrorCode::Internal;
  std::string message;
  friend bool operator==(const RowFault&, const RowFault&) = default;
};

using PromptId = std::variant<std::int64_t, std::string>;
std::string to_text(
    const PromptId& id);  // an integer as decimal text: what stable_hash64 keys a prompt's randomness by

struct Completion {
  std::uint64_t prompt_index = 0;
  std::uint32_t sample_index = 0;
  PromptId id = std::int64_t{0};
  RowStatus status = RowStatus::Pending;
  FinishReason finish_reason = FinishReason::None;
  std::uint32_t num_prompt_tokens = 0;
  std::uint64_t seed = 0;  // base/random.hpp sample_seed
  float cumulative_logprob = std::numeric_limits<float>::quiet_NaN();
  std::string text;
  std::vector<TokenId> token_ids;  // [tokens], always, whatever the outputs store
  std::vector<float> logprobs;     // [tokens] when logprobs are on
  std::vector<TokenId> top_ids;    // [tokens, k]
  std::vector<float> top_values;   // [tokens, k]
  std::string stop_reason;         // the stop string, or the stop token in decimal, that ended it; else ""
  std::optional<RowFault> error;   // exactly when the status is Failed
};

// Brings a row's logprobs to the k of its file: a row that asked for none has NaN, one that asked for fewer has places
// with token -1 and NaN behind its own. A row that has them already stays as it is.
void widen_logprobs(Completion& row, std::uint32_t k);
// The reverse, for a row that gets more tokens: it has what it asked for, without the places that fill up its file.
void narrow_logprobs(Completion& row);

// A failed sample: status Failed, finish_reason Error, no tokens.
Completion failed_row(std::uint64_t prompt_index, std::uint32_t sample_index, const PromptId& id, RowFault fault);

// The log-probability of each token of a prompt; the first is NaN.
struct PromptScore {
  std::uint64_t prompt_index = 0;
  std::vector<float> logprobs;  // [prompt tokens]
};

// A sample that a drain interrupted: what it had generated, taken up again by the next attempt. Its random numbers
// depend on positions only, so nothing else is needed.
struct PartialSample {
  std::uint64_t prompt_index = 0;
  std::uint32_t sample_index = 0;
  std::vector<TokenId> token_ids;  // [tokens]
  std::vector<float> logprobs;     // [tokens] or empty
  std::vector<TokenId> top_ids;    // [tokens, k] or empty
  std::vector<float> top_values;   // [tokens, k] or empty
};

}  // namespace moemill::dataset
