// The columns of a run's rows: a line for each, in the order of the journal and of the files of outputs. Journal
// records, writer, reader, form check, verify, replay and reopening go through these tables. A new column is a member
// of Completion and a line here. Where a column is stored depends on OutputLayout.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "dataset/rows.hpp"

namespace moemill::dataset {

// Where a column of rows is in a file.
inline std::string in_completions(std::string_view column) { return "completions/" + std::string(column); }

enum class IdKind { Integer, Text };

// What is stored; the same for all files of a run.
struct OutputLayout {
  bool text = true;
  bool token_ids = true;
  std::optional<std::uint32_t> logprobs;  // k
  bool prompt_logprobs = false;
  std::optional<std::uint32_t> gzip_level = 4;
  IdKind ids = IdKind::Integer;
  bool prompt_token_ids = false;
  bool stop_reason = false;
  friend bool operator==(const OutputLayout&, const OutputLayout&) = default;
};

// The journal numbers its kinds of completion record. A column's line names the first kind that has it; all later ones
// have it too. 2 and 3 are the numbers of scores and partial samples.
using RecordKind = std::uint8_t;
constexpr RecordKind first_kind = 1, stop_reason_kind = 4;
constexpr RecordKind not_in_journal = std::numeric_limits<RecordKind>::max();

// One number per row, at /completions/<name>. An enum is stored as its number, with its names as attributes.
template <class T>
struct ScalarField {
  using Stored = typename std::conditional_t<std::is_enum_v<T>, std::underlying_type<T>, std::type_identity<T>>::type;
  const char* name;
  T Completion::*member;
  RecordKind since;
  constexpr ScalarField(const char* n, T Completion::*m, RecordKind s = first_kind) : name(n), member(m), since(s) {}
};

// The prompt's id: one integer per row, or one text.
struct IdField {
  const char* name;
  PromptId Completion::*member;
};

enum class PerUnit { One, K };  // values per byte of text or per token; K: as many as there are top logprobs

// A varying number of values per row, at /completions/<values>. Columns with the same `lengths` have the same number of
// units per row and share /completions/<lengths>/offsets. The first of them is `lengths` itself.
template <class Values>
struct RaggedField {
  using Value = typename Values::value_type;
  const char* name;
  const char* lengths;
  const char* values;
  Values Completion::*member;
  bool OutputLayout::*flag;  // null: stored where the layout has logprobs
  PerUnit per_unit;
  RecordKind since;
  constexpr RaggedField(const char* n, const char* l, const char* v, Values Completion::*m, bool OutputLayout::*f,
                        PerUnit p = PerUnit::One, RecordKind s = first_kind)
      : name(n), lengths(l), values(v), member(m), flag(f), per_unit(p), since(s) {}

  // Values per unit in files of this layout; 0: the column is not stored.
  std::uint64_t width(const OutputLayout& layout) const {
    if (flag) return layout.*flag ? 1 : 0;
    if (!layout.logprobs) return 0;
    return per_unit == PerUnit::K ? *layout.logprobs : 1;
  }
};

inline constexpr std::tuple completion_fields = {
    ScalarField("prompt_index", &Completion::prompt_index),
    ScalarField("sample_index", &Completion::sample_index),
    IdField{"id", &Completion::id},
    ScalarField("status", &Completion::status),
    ScalarField("finish_reason", &Completion::finish_reason),
    ScalarField("num_prompt_tokens", &Completion::num_prompt_tokens),
    ScalarField("num_completion_tokens", &Completion::num_completion_tokens, not_in_journal),
    ScalarField("seed", &Completion::seed),
    ScalarField("cumulative_logprob", &Completion::cumulative_logprob),
    RaggedField("text", "text", "text/values", &Completion::text, &OutputLayout::text),
    RaggedField("token_ids", "token_ids", "token_ids/values", &Completion::token_ids, &OutputLayout::token_ids),
    RaggedField("logprobs", "token_ids", "logprobs/values", &Completion::logprobs, nullptr),
    RaggedField("top_ids", "token_ids", "logprobs/top_ids", &Completion::top_ids, nullptr, PerUnit::K),
    RaggedField("top_values", "token_ids", "logprobs/top_values", &Completion::top_values, nullptr, PerUnit::K),
    RaggedField("stop_reason", "stop_reason", "stop_reason/values", &Completion::stop_reason,
                &OutputLayout::stop_reason, PerUnit::One, stop_reason_kind)};

// A varying number of values per prompt, at /<group>/{values,offsets}: none for a prompt that failed.
template <class T>
struct PromptField {
  using Value = T;
  const char* group;
  bool OutputLayout::*flag;
};
inline constexpr PromptField<TokenId> prompt_token_ids{"prompt_token_ids", &OutputLayout::prompt_token_ids};
inline constexpr PromptField<float> prompt_logprobs{"prompt_logprobs", &OutputLayout::prompt_logprobs};
inline constexpr std::tuple prompt_fields = {prompt_token_ids, prompt_logprobs};

// A function for each type of field.
template <class... Bodies>
struct Cases : Bodies... {
  using Bodies::operator()...;
};
template <class... Bodies>
Cases(Bodies...) -> Cases<Bodies...>;

template <class Fields, class Body>
constexpr void for_each_field(const Fields& fields, Body&& body) {
  std::apply([&](const auto&... field) { (body(field), ...); }, fields);
}
// Only the fields of one type.
template <class Body>
constexpr void for_each_scalar(Body&& body) {
  for_each_field(completion_fields,
                 Cases{[&]<class T>(const ScalarField<T>& field) { body(field); }, [](const auto&) {}});
}
template <class Body>
constexpr void for_each_ragged(Body&& body) {
  for_each_field(completion_fields,
                 Cases{[&]<class T>(const RaggedField<T>& field) { body(field); }, [](const auto&) {}});
}

// The kind of record that the journal writes: the newest that a column names.
constexpr RecordKind newest_kind() {
  RecordKind newest = first_kind;
  auto take = [&](const auto& field) {
    if (field.since != not_in_journal && field.since > newest) newest = field.since;
  };
  for_each_scalar(take);
  for_each_ragged(take);
  return newest;
}

// Brings a row into the form that files of this layout store: the number of its tokens, room for k logprobs per token.
void fit_to_layout(Completion& row, const OutputLayout& layout);

// The names of the columns of this layout in which two rows differ, floats by their bits: "seed, text", or "".
std::string differing_columns(const Completion& a, const Completion& b, const OutputLayout& layout);

}  // namespace moemill::dataset
