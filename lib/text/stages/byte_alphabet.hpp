// Byte-level vocabularies spell each byte as one printable character (GPT-2's alphabet): the 188 bytes that are
// printable in Latin-1 stand for themselves, the others for U+0100 onwards in order of the byte.
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
  static constexpr std::size_t characters = 0x100 + 256 - 188;  // code points that can occur
  std::array<std::array<char, 2>, 256> spelling_;               // UTF-8, one or two bytes
  std::array<std::int16_t, characters> byte_of_;                // -1: none
};

}  // namespace moemill::text
