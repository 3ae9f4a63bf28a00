#include "mill/mail.hpp"

#include <cstring>
#include <type_traits>
#include <utility>

#include "base/error.hpp"

namespace moemill::mill {
namespace {

enum class LetterKind : std::uint8_t { Rows, BegunLot, News };

// A letter of this length leaves; only one with a longer row is longer.
constexpr std::size_t long_letter_bytes = 16u << 20;

template <class T>
void put_number(T value, std::vector<std::byte>& bytes) {
  static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
  const std::size_t start = bytes.size();
  bytes.resize(start + sizeof value);
  std::memcpy(bytes.data() + start, &value, sizeof value);
}

// A record behind its length.
template <class Row>
void put_record(const Row& row, std::vector<std::byte>& bytes) {
  const std::size_t start = bytes.size();
  put_number(std::uint32_t{0}, bytes);
  encode(row, bytes);
  const std::size_t length = bytes.size() - start - sizeof(std::uint32_t);
  if (length > Comm::most_letter_bytes / 2) {
    bytes.resize(start);  // the rows before it still leave
    user_error(
        "row {}: an answer of {} bytes is too long to be sent to the rank that stores it, which takes up to {}: ask "
        "for fewer logprobs or a lower max_tokens, or run it on one rank",
        row.prompt_index, length, Comm::most_letter_bytes / 2);
  }
  const auto written = static_cast<std::uint32_t>(length);
  std::memcpy(bytes.data() + start, &written, sizeof written);
}

class LetterReader {
 public:
  explicit LetterReader(std::span<const std::byte> letter) : left_(letter) {}
  bool empty() const { return left_.empty(); }
  std::span<const std::byte> bytes(std::size_t count) {
    expect(count <= left_.size(), "a letter is as long as its sender made it");
    const auto taken = left_.first(count);
    left_ = left_.subspan(count);
    return taken;
  }
  template <class T>
  T number() {
    T value{};
    std::memcpy(&value, bytes(sizeof value).data(), sizeof value);
    return value;
  }
  dataset::JournalRecord record() {
    auto decoded = dataset::decode(bytes(number<std::uint32_t>()));
    expect(decoded.has_value(), "a letter has whole records");
    return std::move(*decoded);
  }

 private:
  std::span<const std::byte> left_;
};

void put_prompt(const BegunPrompt& prompt, std::vector<std::byte>& bytes) {
  put_number(prompt.prompt_index, bytes);
  put_number(static_cast<std::uint8_t>(prompt.score), bytes);
  put_number(static_cast<std::uint32_t>(prompt.missing.size()), bytes);
  for (std::uint32_t sample : prompt.missing) put_number(sample, bytes);
  put_number(static_cast<std::uint32_t>(prompt.partials.size()), bytes);
  for (const auto& partial : prompt.partials) put_record(partial, bytes);
}

BegunPrompt read_prompt(LetterReader& in) {
  BegunPrompt prompt;
  prompt.prompt_index = in.number<std::uint64_t>();
  prompt.score = static_cast<Generator::Score>(in.number<std::uint8_t>());
  for (auto left = in.number<std::uint32_t>(); left > 0; --left) prompt.missing.push_back(in.number<std::uint32_t>());
  for (auto left = in.number<std::uint32_t>(); left > 0; --left)
    prompt.partials.push_back(std::get<dataset::PartialSample>(in.record()));
  return prompt;
}

// Its second byte says whether it is the last one of the lot.
std::vector<std::byte> begin_lot(const BegunLot& lot) {
  std::vector<std::byte> letter;
  put_number(LetterKind::BegunLot, letter);
  put_number(BegunLot::Parts::MoreToCome, letter);
  put_number(lot.first_prompt, letter);
  put_number(lot.first_sample, letter);
  return letter;
}

}  // namespace

template <class Row>
void Mail::write_row(int to, const Row& row) {
  std::vector<std::byte>& letter = written_[to];
  if (letter.empty()) put_number(LetterKind::Rows, letter);
  put_record(row, letter);
  if (letter.size() >= long_letter_bytes) post(to, std::exchange(letter, {}));
}

void Mail::write(int to, const dataset::Completion& row) { write_row(to, row); }
void Mail::write(int to, const dataset::PromptScore& score) { write_row(to, score); }
void Mail::write(int to, const dataset::PartialSample& partial) { write_row(to, partial); }

void Mail::post() {
  for (auto& [to, letter] : written_)
    if (!letter.empty()) post(to, std::exchange(letter, {}));
}

void Mail::post(int to, std::vector<std::byte> letter) {
  world_.post(to, std::move(letter));
  ++counts_.sent;
}

void Mail::send(int to, const BegunLot& lot) {
  std::vector<std::byte> letter = begin_lot(lot);
  const auto leave_when_long = [&] {
    if (letter.size() >= long_letter_bytes) post(to, std::exchange(letter, begin_lot(lot)));
  };
  for (const BegunPrompt& prompt : lot.prompts) {
    put_prompt({prompt.prompt_index, prompt.missing, prompt.score, {}}, letter);
    leave_when_long();
    for (const auto& partial : prompt.partials) {  // joined again by their receiver: together they may be very long
      put_prompt({prompt.prompt_index, {}, prompt.score, {partial}}, letter);
      leave_when_long();
    }
  }
  letter[1] = std::byte(BegunLot::Parts::All);
  post(to, std::move(letter));
}

void Mail::send(int to, const News& news) {
  std::vector<std::byte> letter;
  put_number(LetterKind::News, letter);
  letter.insert(letter.end(), news.bytes.begin(), news.bytes.end());
  post(to, std::move(letter));
}

std::optional<std::vector<std::byte>> Mail::next() {
  try {
    auto letter = world_.next_letter();
    if (!letter) return std::nullopt;
    ++counts_.received;
    return std::move(letter->bytes);
  } catch (...) {
    ++counts_.faults;  // what is lost must not be waited for
    throw;
  }
}

Mail::Contents Mail::read(std::span<const std::byte> letter) {
  LetterReader in(letter);
  const auto kind = in.number<LetterKind>();
  if (kind == LetterKind::News) return News{{letter.begin() + 1, letter.end()}};
  if (kind == LetterKind::Rows) {
    std::vector<dataset::JournalRecord> records;
    while (!in.empty()) records.push_back(in.record());
    return records;
  }
  BegunLot lot;
  lot.parts = in.number<BegunLot::Parts>();
  lot.first_prompt = in.number<std::uint64_t>();
  lot.first_sample = in.number<std::uint32_t>();
  while (!in.empty()) lot.prompts.push_back(read_prompt(in));
  return lot;
}

}  // namespace moemill::mill
