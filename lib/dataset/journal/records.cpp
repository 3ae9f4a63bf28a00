#include "dataset/journal/records.hpp"

#include <bit>
#include <cstring>

#include "base/error.hpp"
#include "dataset/output_fields.hpp"

namespace moemill::dataset {
namespace {

// Numbers and arrays are copied as they lie in memory, and the journal is little-endian.
static_assert(std::endian::native == std::endian::little);

// All kinds except these two are completions; output_fields.hpp says which columns each of them has.
constexpr RecordKind score_kind = 2, partial_kind = 3;

bool is_completion(RecordKind kind) {
  return kind >= first_kind && kind <= newest_kind() && kind != score_kind && kind != partial_kind;
}

class Encoder {
 public:
  explicit Encoder(std::vector<std::byte>& out) : out_(out) {}
  template <class T>
  void number(T value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    bytes(&value, sizeof value);
  }
  template <class Array>
  void array(const Array& values) {
    expect(values.size() <= 0xffffffffu, "journal: an array's length fits 32 bits");
    number(static_cast<std::uint32_t>(values.size()));
    bytes(values.data(), values.size() * sizeof(values[0]));
  }

 private:
  void bytes(const void* data, std::size_t count) {
    const auto* first = static_cast<const std::byte*>(data);
    out_.insert(out_.end(), first, first + count);
  }
  std::vector<std::byte>& out_;
};

// Reads what the encoder has written. After the first value that is too long or not a legal choice, whole() is false
// and the values must not be used.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> in) : in_(in) {}
  template <class T>
  T number() {
    T value{};
    bytes(&value, sizeof value);
    return value;
  }
  template <class Array>
  void array(Array& values) {
    auto count = number<std::uint32_t>();
    if (count > in_.size() / sizeof(values[0])) {
      fits_ = false;
      return;
    }
    values.resize(count);
    bytes(values.data(), count * sizeof(values[0]));
  }
  // Reads one of `count` values of a one-byte enum.
  template <class Enum>
  Enum choice(std::size_t count) {
    auto value = number<std::uint8_t>();
    if (value >= count) fits_ = false;
    return static_cast<Enum>(value);
  }
  // Whether all values were legal and no byte is left.
  bool whole() const { return fits_ && in_.empty(); }

 private:
  void bytes(void* out, std::size_t count) {
    if (count > in_.size()) {
      fits_ = false;
      return;
    }
    if (count > 0) std::memcpy(out, in_.data(), count);
    in_ = in_.subspan(count);
  }
  std::span<const std::byte> in_;
  bool fits_ = true;
};

enum class IdForm : std::uint8_t { Integer = 0, Text = 1 };
enum class Presence : std::uint8_t { Absent = 0, Present = 1 };

void encode_id(const PromptId& id, Encoder& out) {
  if (const auto* number = std::get_if<std::int64_t>(&id)) {
    out.number(IdForm::Integer);
    out.number(*number);
  } else {
    out.number(IdForm::Text);
    out.array(std::get<std::string>(id));
  }
}

PromptId decode_id(Decoder& in) {
  if (in.choice<IdForm>(2) == IdForm::Integer) return in.number<std::int64_t>();
  std::string text;
  in.array(text);
  return text;
}

void encode_values(const Completion& row, Encoder& out) {
  for_each_field(completion_fields, Cases{[&]<class T>(const ScalarField<T>& field) {
                                            if (field.since != not_in_journal) out.number(row.*field.member);
                                          },
                                          [&](const IdField& field) { encode_id(row.*field.member, out); },
                                          [&]<class T>(const RaggedField<T>& field) {
                                            if (field.since != not_in_journal) out.array(row.*field.member);
                                          }});
}

Completion decode_completion(Decoder& in, RecordKind kind) {
  Completion row;
  for_each_field(completion_fields, Cases{[&]<class T>(const ScalarField<T>& field) {
                                            if (field.since > kind) return;
                                            if constexpr (std::is_enum_v<T>) {
                                              row.*field.member = in.choice<T>(names_of(T{}).size());
                                            } else {
                                              row.*field.member = in.number<T>();
                                            }
                                          },
                                          [&](const IdField& field) { row.*field.member = decode_id(in); },
                                          [&]<class T>(const RaggedField<T>& field) {
                                            if (field.since <= kind) in.array(row.*field.member);
                                          }});
  row.num_completion_tokens = static_cast<std::uint32_t>(row.token_ids.size());
  if (in.choice<Presence>(2) == Presence::Present) {
    row.error.emplace();
    row.error->code = in.choice<ErrorCode>(error_code_names.size());
    in.array(row.error->message);
  }
  return row;
}

PromptScore decode_score(Decoder& in) {
  PromptScore score;
  score.prompt_index = in.number<std::uint64_t>();
  in.array(score.logprobs);
  return score;
}

PartialSample decode_partial(Decoder& in) {
  PartialSample partial;
  partial.prompt_index = in.number<std::uint64_t>();
  partial.sample_index = in.number<std::uint32_t>();
  in.array(partial.token_ids);
  in.array(partial.logprobs);
  in.array(partial.top_ids);
  in.array(partial.top_values);
  return partial;
}

}  // namespace

void encode(const Completion& row, std::vector<std::byte>& bytes) {
  Encoder out(bytes);
  out.number(newest_kind());
  encode_values(row, out);
  out.number(row.error ? Presence::Present : Presence::Absent);
  if (row.error) {
    out.number(row.error->code);
    out.array(row.error->message);
  }
}

void encode(const PromptScore& score, std::vector<std::byte>& bytes) {
  Encoder out(bytes);
  out.number(score_kind);
  out.number(score.prompt_index);
  out.array(score.logprobs);
}

void encode(const PartialSample& partial, std::vector<std::byte>& bytes) {
  Encoder out(bytes);
  out.number(partial_kind);
  out.number(partial.prompt_index);
  out.number(partial.sample_index);
  out.array(partial.token_ids);
  out.array(partial.logprobs);
  out.array(partial.top_ids);
  out.array(partial.top_values);
}

std::optional<JournalRecord> decode(std::span<const std::byte> payload) {
  Decoder in(payload);
  const auto kind = in.number<RecordKind>();
  JournalRecord record;
  if (is_completion(kind)) {
    record = decode_completion(in, kind);
  } else if (kind == score_kind) {
    record = decode_score(in);
  } else if (kind == partial_kind) {
    record = decode_partial(in);
  } else {
    return std::nullopt;
  }
  if (!in.whole()) return std::nullopt;
  return record;
}

}  // namespace moemill::dataset
