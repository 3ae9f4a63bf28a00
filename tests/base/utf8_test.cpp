#include "base/text/utf8.hpp"

#include <doctest/doctest.h>

using namespace moemill;

TEST_CASE("every code point comes back, and surrogates are not UTF-8") {
  for (char32_t c = 0; c < 0x110000; c++) {
    std::string text;
    append_utf8(text, c);
    bool surrogate = c >= 0xD800 && c < 0xE000;
    REQUIRE(first_bad_utf8(text).has_value() == surrogate);
    if (surrogate) continue;
    std::size_t at = 0;
    REQUIRE(next_code_point(text, at) == c);
    REQUIRE(at == text.size());
    REQUIRE(utf8_length(text[0]) == text.size());
    Utf8Step step = utf8_step(text, 0);
    REQUIRE(step.kind == Utf8Step::Complete);
    REQUIRE(step.code_point == c);
  }
}

// The edges of table 3-7 of the Unicode standard.
TEST_CASE("the first byte that is not UTF-8 is found") {
  auto bad = [](std::string_view text) { return first_bad_utf8(text).value_or(99); };
  CHECK(bad("") == 99);
  CHECK(bad(std::string_view("a\0b", 3)) == 99);
  CHECK(bad("\x80") == 0);
  CHECK(bad("ab\xC1\xBF") == 2);         // overlong
  CHECK(bad("\xE0\x9F\xBF") == 0);       // overlong
  CHECK(bad("\xF0\x8F\xBF\xBF") == 0);   // overlong
  CHECK(bad("\xED\xA0\x80") == 0);       // a surrogate
  CHECK(bad("\xED\x9F\xBF") == 99);      // the last before them
  CHECK(bad("\xF4\x8F\xBF\xBF") == 99);  // U+10FFFF
  CHECK(bad("\xF4\x90\x80\x80") == 0);   // beyond
  CHECK(bad("\xF5") == 0);
  CHECK(bad("eight by\xC3") == 8);  // cut
  CHECK(bad("sixteen bytes ok\xE4\xBD\xA0\xFF") == 19);
}

TEST_CASE("a step says whether bytes could still become a character") {
  auto kind = [](std::string_view text) { return utf8_step(text, 0).kind; };
  auto bytes = [](std::string_view text) { return utf8_step(text, 0).bytes; };
  CHECK(kind("\xF0\x9F") == Utf8Step::Open);
  CHECK(bytes("\xF0\x9F") == 2);
  CHECK(kind("\xE4\xBDx") == Utf8Step::Bad);
  CHECK(bytes("\xE4\xBDx") == 2);  // one U+FFFD for both
  CHECK(kind("\xC0\x80") == Utf8Step::Bad);
  CHECK(bytes("\xC0\x80") == 1);
  CHECK(bytes("\xED\xA0\x80") == 1);
}
