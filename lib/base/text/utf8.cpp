#include "base/text/utf8.hpp"

#include <cstring>

namespace moemill {
namespace {

// The allowed second bytes after a lead byte exclude overlong forms, surrogates and code points beyond U+10FFFF.
struct SecondByte {
  unsigned char low, high;
};

SecondByte second_byte(unsigned char lead) {
  switch (lead) {
    case 0xE0: return {0xA0, 0xBF};
    case 0xED: return {0x80, 0x9F};
    case 0xF0: return {0x90, 0xBF};
    case 0xF4: return {0x80, 0x8F};
    default: return {0x80, 0xBF};
  }
}

}  // namespace

std::size_t utf8_length(char lead) {
  auto b = static_cast<unsigned char>(lead);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

Utf8Step utf8_step(std::string_view bytes, std::size_t at) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  unsigned char lead = byte(at);
  if (lead < 0x80) return {Utf8Step::Complete, 1, lead};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Step::Bad, 1, 0};
  std::size_t length = utf8_length(bytes[at]);
  char32_t code_point = lead & (0xFFu >> (length + 1));
  for (std::size_t i = 1; i < length; i++) {
    if (at + i >= bytes.size()) return {Utf8Step::Open, i, 0};
    SecondByte allowed = i == 1 ? second_byte(lead) : SecondByte{0x80, 0xBF};
    unsigned char b = byte(at + i);
    if (b < allowed.low || b > allowed.high) return {Utf8Step::Bad, i, 0};
    code_point = (code_point << 6) | (b & 0x3Fu);
  }
  return {Utf8Step::Complete, length, code_point};
}

char32_t next_code_point(std::string_view valid, std::size_t& at) {
  auto lead = static_cast<unsigned char>(valid[at]);
  if (lead < 0x80) {
    at++;
    return lead;
  }
  std::size_t length = utf8_length(valid[at]);
  char32_t code_point = lead & (0xFFu >> (length + 1));
  for (std::size_t i = 1; i < length; i++) code_point = (code_point << 6) | (valid[at + i] & 0x3Fu);
  at += length;
  return code_point;
}

void append_utf8(std::string& text, char32_t c) {
  auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::optional<std::size_t> first_bad_utf8(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    std::uint64_t eight = 0x80;
    if (at + 8 <= bytes.size()) std::memcpy(&eight, bytes.data() + at, 8);
    if ((eight & 0x8080808080808080u) == 0) {  // eight ASCII bytes at a time
      at += 8;
      continue;
    }
    Utf8Step step = utf8_step(bytes, at);
    if (step.kind != Utf8Step::Complete) return at;
    at += step.bytes;
  }
  return std::nullopt;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

}  // namespace moemill
