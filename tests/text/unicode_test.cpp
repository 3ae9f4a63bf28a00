// The class of every code point, as patterns and pre-tokenizers see it, is that of the tokenizers library with Unicode
// 16, for any version of Unicode in the linked PCRE2.
#include <fmt/format.h>

#include "base/hash.hpp"
#include "base/text/utf8.hpp"
#include "text/regex/regex.hpp"
#include "text/regex/unicode_classes.hpp"
#include "text/stages/pre_tokenizer.hpp"
#include "text/support.hpp"

namespace moemill::text {
namespace {

std::string all_characters() {
  std::string text;
  for (char32_t c = 0; c < 0x110000; c++)
    if (c < 0xD800 || c > 0xDFFF) append_utf8(text, c);
  return text;
}

// First and last code point of each range, one range per line.
class Stretches {
 public:
  explicit Stretches(const std::string& text) : text_(text) {}

  void add(Match m) {
    std::size_t begin = m.begin, last = m.end - 1;
    while ((static_cast<unsigned char>(text_[last]) & 0xC0) == 0x80) last--;
    const auto first_point = static_cast<unsigned>(next_code_point(text_, begin));
    lines_ += fmt::format("{:x} {:x}\n", first_point, static_cast<unsigned>(next_code_point(text_, last)));
    count_++;
  }
  void check(const json& golden) const {
    CHECK(count_ == golden["pieces"]);
    CHECK(sha256_hex(lines_) == golden["sha256"].get<std::string>());
  }

 private:
  const std::string& text_;
  std::string lines_;
  int count_ = 0;
};

TEST_CASE("every code point is of the library's class") {
  MESSAGE("PCRE2 has Unicode " << pcre_unicode_version() << ", the tables " << unicode_version);
  const std::string text = all_characters();
  RegexScratch scratch;
  int patterns = 0;
  for (const json& line : read_lines(test_data("unicode16.jsonl"))) {
    Stretches found(text);
    std::string what = line.contains("pattern") ? line["pattern"].get<std::string>() : line["pre_tokenizer"].dump();
    CAPTURE(what);
    if (line.contains("pattern")) {
      Regex(what + "+").for_each(text, scratch, [&](Match m) { found.add(m); });
    } else {
      const std::string file = "tokenizer.json";
      PreTokenizer pre_tokenizer(Place(line["pre_tokenizer"], file, ""));
      for (Match m : pre_tokenizer.apply(text, TextStart::Yes, scratch).spans) found.add(m);
    }
    found.check(line);
    patterns++;
  }
  CHECK(patterns > 200);
}

TEST_CASE("sets of code points") {
  const CodePointSet set({{0x300, 0x3ff}, {0x41, 0x5a}, {0x5b, 0x60}, {0x10ffff, 0x10ffff}});
  CHECK(set.ranges().size() == 3);
  CHECK(set.contains(0x41));
  CHECK(set.contains(0x60));
  CHECK(!set.contains(0x61));
  CHECK(!set.contains(0x2ff));
  CHECK(set.contains(0x10ffff));
  CHECK(set.any_in("abcA"));
  CHECK(!set.any_in("abc\xC3\xA9"));
  CHECK(!CodePointSet().any_in("abc"));
  const CodePointSet rest = set.minus(CodePointSet({{0x50, 0x310}, {0x3ff, 0x3ff}}));
  REQUIRE(rest.ranges().size() == 3);
  CHECK(rest.ranges()[0].last == 0x4f);
  CHECK(rest.ranges()[1].first == 0x311);
  CHECK(rest.ranges()[1].last == 0x3fe);
}

}  // namespace
}  // namespace moemill::text
