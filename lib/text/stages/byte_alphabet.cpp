#include "text/stages/byte_alphabet.hpp"

#include "base/text/utf8.hpp"

namespace moemill::text {

ByteAlphabet::ByteAlphabet() {
  byte_of_.fill(-1);
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; byte++) {
    bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    char32_t c = printable ? byte : next++;
    std::string text;
    append_utf8(text, c);
    spelling_[byte] = {text[0], text.size() > 1 ? text[1] : '\0'};
    byte_of_[c] = static_cast<std::int16_t>(byte);
  }
}

void ByteAlphabet::spell(std::string_view bytes, std::string& out) const {
  for (char byte : bytes) {
    const auto& s = spelling_[static_cast<unsigned char>(byte)];
    out.push_back(s[0]);
    if (s[1] != '\0') out.push_back(s[1]);
  }
}

void ByteAlphabet::read(std::string_view token, std::string& out) const {
  std::size_t before = out.size();
  for (std::size_t at = 0; at < token.size();) {
    char32_t c = next_code_point(token, at);
    if (c >= characters || byte_of_[c] < 0) {
      out.resize(before);
      out += token;
      return;
    }
    out.push_back(static_cast<char>(byte_of_[c]));
  }
}

}  // namespace moemill::text
