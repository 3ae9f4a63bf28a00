// GPT-2's alphabet, in which byte-level vocabularies spell each byte as one printable character. The 188 bytes that are
// printable in Latin-1 stand for themselves; the remaining bytes are U+0100 and up, in byte order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace moemill::text {

class ByteAlphabet {
 public:
  ByteAlphabet();
  void spell(std::string_view bytes, std::string& out) const;
  // Appends the bytes that a token spells; a token with a character outside the alphabet stands for itself.
  void read(std::string_view token, std::string& out) const;

 private:
  static constexpr std::size_t characters = 0x100 + 256 - 188;  // number of code points that can occur
  std::array<std::array<char, 2>, 256> spelling_;               // [byte]: UTF-8, one or two bytes
  std::array<std::int16_t, characters> byte_of_;                // [code point]: its byte, or -1
};

}  // namespace moemill::text
