// The rows that a run makes: one Completion per (prompt, sample), one PromptScore per scored prompt. They are made by
// the generator, kept in the journal and written to shards. Plain values; the numbers of the enums are those in
// outputs.h5.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/finish_reason.hpp"
#include "base/ids.hpp"

namespace moemill::dataset {

enum class RowStatus : std::uint8_t { Pending = 0, Ok = 1, Failed = 2, Skipped = 3 };

using moemill::FinishReason;

enum class ErrorCode : std::uint8_t { TooLong = 0, Empty = 1, BadUtf8 = 2, BadToken = 3, Internal = 4 };

// Names in the order of the numbers, as the attributes of outputs.h5 list them.
constexpr std::array<std::string_view, 4> status_names = {"pending", "ok", "failed", "skipped"};
constexpr std::array<std::string_view, 6> finish_reason_names = {"none",        "stop",       "length",
                                                                 "stop_string", "repetition", "error"};
constexpr std::array<std::string_view, 5> error_code_names = {"too_long", "empty", "bad_utf8", "bad_token", "internal"};

constexpr std::span<const std::string_view> names_of(RowStatus) { return status_names; }
constexpr std::span<const std::string_view> names_of(FinishReason) { return finish_reason_names; }
constexpr std::span<const std::string_view> names_of(ErrorCode) { return error_code_names; }

std::string_view name_of(ErrorCode code);  // "too_long", "empty", ... as stored in /errors/code
std::optional<ErrorCode> parse_error_code(std::string_view name);

// Why a prompt cannot be answered. Its rows become failed rows; the rows of other prompts are not affected.
struct RowFault {
  ErrorCode code = ErrorCode::Internal;
  std::string message;
  friend bool operator==(const RowFault&, const RowFault&) = default;
};

using PromptId = std::variant<std::int64_t, std::string>;
// The id as text, an integer in decimal: stable_hash64 of it keys a prompt's randomness.
std::string to_text(const PromptId& id);

// output_fields.hpp has a line for each member that the journal or the files of outputs store.
struct Completion {
  std::uint64_t prompt_index = 0;
  std::uint32_t sample_index = 0;
  PromptId id = std::int64_t{0};
  RowStatus status = RowStatus::Pending;
  FinishReason finish_reason = FinishReason::None;
  std::uint32_t num_prompt_tokens = 0;
  std::uint32_t num_completion_tokens = 0;  // set where a row is read or stored: files may leave out the tokens
  std::uint64_t seed = 0;                   // base/numbers/random.hpp sample_seed
  float cumulative_logprob = std::numeric_limits<float>::quiet_NaN();
  std::string text;
  std::vector<TokenId> token_ids;  // [tokens]; a row in memory has them whatever the outputs store
  std::vector<float> logprobs;     // [tokens] when logprobs are on
  std::vector<TokenId> top_ids;    // [tokens, k]
  std::vector<float> top_values;   // [tokens, k]
  std::string stop_reason;         // the stop string, or the stop token in decimal, that ended it; else ""
  std::optional<RowFault> error;   // present exactly when the status is Failed
};

// Widens a row's logprobs to the k of its file: a row that asked for none gets NaN; a row that asked for fewer than k
// gets entries with token -1 and NaN after its own. A row that has k already stays as it is.
void widen_logprobs(Completion& row, std::uint32_t k);
// The reverse, for a row that gets more tokens: only what it asked for remains.
void narrow_logprobs(Completion& row);

// A failed sample: status Failed, finish_reason Error, no tokens.
Completion failed_row(std::uint64_t prompt_index, std::uint32_t sample_index, const PromptId& id, RowFault fault);

// The log-probability of each token of a prompt; the first is NaN.
struct PromptScore {
  std::uint64_t prompt_index = 0;
  std::vector<float> logprobs;  // [prompt tokens]
};

// The tokens of a sample that a drain interrupted. The next attempt continues it. Random numbers depend on positions
// only, so no further state is needed.
struct PartialSample {
  std::uint64_t prompt_index = 0;
  std::uint32_t sample_index = 0;
  std::vector<TokenId> token_ids;  // [tokens]
  std::vector<float> logprobs;     // [tokens] or empty
  std::vector<TokenId> top_ids;    // [tokens, k] or empty
  std::vector<float> top_values;   // [tokens, k] or empty
};

}  // namespace moemill::dataset
