#include "dataset/journal/records.hpp"

#include <bit>
#include <cstring>

#include "base/error.hpp"

namespace moemill::dataset {
namespace {

// Arrays are copied as they lie in memory.
static_assert(std::endian::native == std::endian::little);

// A completion of an older moemill, without its stop_reason, is still read.
enum class Kind : std::uint8_t { OldCompletion = 1, PromptScore = 2, PartialSample = 3, Completion = 4 };

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

// Reads what the encoder wrote; after anything that does not fit, `whole()` is false and values are zeros.
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
  template <class Enum>
  Enum choice(Enum last) {
    auto value = number<std::uint8_t>();
    if (value > static_cast<std::uint8_t>(last)) fits_ = false;
    return static_cast<Enum>(value);
  }
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
  if (in.choice(IdForm::Text) == IdForm::Integer) return in.number<std::int64_t>();
  std::string text;
  in.array(text);
  return text;
}

Completion decode_completion(Decoder& in, Kind kind) {
  Completion row;
  row.prompt_index = in.number<std::uint64_t>();
  row.sample_index = in.number<std::uint32_t>();
  row.id = decode_id(in);
  row.status = in.choice(RowStatus::Skipped);
  row.finish_reason = in.choice(FinishReason::Error);
  row.num_prompt_tokens = in.number<std::uint32_t>();
  row.seed = in.number<std::uint64_t>();
  row.cumulative_logprob = in.number<float>();
  in.array(row.text);
  in.array(row.token_ids);
  in.array(row.logprobs);
  in.array(row.top_ids);
  in.array(row.top_values);
  if (kind == Kind::Completion) in.array(row.stop_reason);
  if (in.choice(Presence::Present) == Presence::Present) {
    row.error.emplace();
    row.error->code = in.choice(ErrorCode::Internal);
    in.array(row.error->message);
  }
  return row;
}

}  // namespace

void encode(const Completion& row, std::vector<std::byte>& bytes) {
  Encoder out(bytes);
  out.number(Kind::Completion);
  out.number(row.prompt_index);
  out.number(row.sample_index);
  encode_id(row.id, out);
  out.number(row.status);
  out.number(row.finish_reason);
  out.number(row.num_prompt_tokens);
  out.number(row.seed);
  out.number(row.cumulative_logprob);
  out.array(row.text);
  out.array(row.token_ids);
  out.array(row.logprobs);
  out.array(row.top_ids);
  out.array(row.top_values);
  out.array(row.stop_reason);
  out.number(row.error ? Presence::Present : Presence::Absent);
  if (row.error) {
    out.number(row.error->code);
    out.array(row.error->message);
  }
}

void encode(const PromptScore& score, std::vector<std::byte>& bytes) {
  Encoder out(bytes);
  out.number(Kind::PromptScore);
  out.number(score.prompt_index);
  out.array(score.logprobs);
}

void encode(const PartialSample& partial, std::vector<std::byte>& bytes) {
  Encoder out(bytes);
  out.number(Kind::PartialSample);
  out.number(partial.prompt_index);
  out.number(partial.sample_index);
  out.array(partial.token_ids);
  out.array(partial.logprobs);
  out.array(partial.top_ids);
  out.array(partial.top_values);
}

std::optional<JournalRecord> decode(std::span<const std::byte> payload) {
  Decoder in(payload);
  JournalRecord record;
  switch (const auto kind = in.number<Kind>()) {
    case Kind::Completion:
    case Kind::OldCompletion: record = decode_completion(in, kind); break;
    case Kind::PromptScore: {
      PromptScore score;
      score.prompt_index = in.number<std::uint64_t>();
      in.array(score.logprobs);
      record = std::move(score);
      break;
    }
    case Kind::PartialSample: {
      PartialSample partial;
      partial.prompt_index = in.number<std::uint64_t>();
      partial.sample_index = in.number<std::uint32_t>();
      in.array(partial.token_ids);
      in.array(partial.logprobs);
      in.array(partial.top_ids);
      in.array(partial.top_values);
      record = std::move(partial);
      break;
    }
    default: return std::nullopt;
  }
  if (!in.whole()) return std::nullopt;
  return record;
}

}  // namespace moemill::dataset
