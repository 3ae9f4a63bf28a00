// NFC, NFD, NFKC, NFKD and lower case, based on utf8proc's tables. Most text is already normalised, so only stretches
// that may change are decomposed. Marks are sorted by a stable sort, so no text takes quadratic time.
#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/error.hpp"
#include "base/text/utf8.hpp"
#include "text/stages/normalizer.hpp"

namespace moemill::text {
namespace {

struct Range {
  char32_t first, last;
};

// Ranges of characters that were added after Unicode 9 and that normal forms would change, reorder or join. The
// tokenizers library has the tables of Unicode 9, so these characters stay as they are with any version of utf8proc.
constexpr Range young[] = {
    {0x558, 0x558},     {0x58b, 0x58c},     {0x5c8, 0x5c9},     {0x7fd, 0x7fd},     {0x897, 0x8d3},
    {0x9fe, 0x9fe},     {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},
    {0x1abf, 0x1af0},   {0x1df6, 0x1dfa},   {0x209d, 0x209f},   {0x32ff, 0x32ff},   {0xa7f1, 0xa7f4},
    {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x105c9, 0x107bf}, {0x10d24, 0x10f85}, {0x11070, 0x11070},
    {0x1133b, 0x1133b}, {0x11382, 0x113d0}, {0x1145e, 0x1145e}, {0x11839, 0x11a99}, {0x11d42, 0x1612f},
    {0x16d63, 0x1b126}, {0x1ccd6, 0x1d128}, {0x1d250, 0x1d281}, {0x1d6a6, 0x1d6a6}, {0x1df95, 0x1dfff},
    {0x1e030, 0x1e6f5}, {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9}};

bool is_young(char32_t c) {
  if (c < young[0].first) return false;
  const Range* range = std::upper_bound(std::begin(young), std::end(young), c,
                                        [](char32_t point, const Range& r) { return point < r.first; });
  return c <= range[-1].last;
}

bool composes(UnicodeForm form) { return form == UnicodeForm::Nfc || form == UnicodeForm::Nfkc; }
bool is_compatible(UnicodeForm form) { return form == UnicodeForm::Nfkc || form == UnicodeForm::Nfkd; }

// Whether a character stays as it is, whatever precedes it, so that a stretch can end before it. Not called for young
// characters.
bool stays(char32_t c, UnicodeForm form) {
  if (c < 0x80) return true;
  if (c >= 0xAC00 && c <= 0xD7A3) return composes(form);                           // Hangul syllables
  if ((c >= 0x1161 && c <= 0x1175) || (c >= 0x11A8 && c <= 0x11C2)) return false;  // joining jamo
  const utf8proc_property_t* p = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
  constexpr unsigned none = 0xFFFF, second_of_pair = 0x8000;
  bool may_join_left = p->comb_index != none && p->comb_index >= second_of_pair;
  return p->combining_class == 0 && p->decomp_seqindex == none && !may_join_left;
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

class Stretch {
 public:
  explicit Stretch(UnicodeForm form) : form_(form) {}

  void normalise(std::string_view text, std::string& out) {
    points_.clear();
    for (std::size_t at = 0; at < text.size();) decompose(next_code_point(text, at));
    sort_marks();
    auto length = static_cast<utf8proc_ssize_t>(points_.size());
    if (composes(form_)) length = utf8proc_normalize_utf32(points_.data(), length, composing);
    if (length < 0) system_error("utf8proc: {}", utf8proc_errmsg(length));
    for (utf8proc_ssize_t i = 0; i < length; i++) append_utf8(out, static_cast<char32_t>(points_[i]));
  }

 private:
  static constexpr auto composing = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);

  void decompose(char32_t c) {
    auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE |
                                                  (is_compatible(form_) ? UTF8PROC_COMPAT : 0));
    constexpr utf8proc_ssize_t most = 32;  // the longest decomposition has 18 characters (U+FDFA)
    utf8proc_int32_t buffer[most];
    utf8proc_ssize_t n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer, most, options, nullptr);
    if (n < 0) system_error("utf8proc: {}", utf8proc_errmsg(n));
    expect(n <= most, "unicode: a decomposition fits its buffer");
    points_.insert(points_.end(), buffer, buffer + n);
  }

  void sort_marks() {
    auto is_mark = [](utf8proc_int32_t c) { return combining_class(c) != 0; };
    for (auto begin = points_.begin(); begin != points_.end();) {
      begin = std::find_if(begin, points_.end(), is_mark);
      auto end = std::find_if_not(begin, points_.end(), is_mark);
      std::stable_sort(begin, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
      begin = end;
    }
  }

  UnicodeForm form_;
  std::vector<utf8proc_int32_t> points_;
};

}  // namespace

std::string unicode_normal_form(std::string_view text, UnicodeForm form) {
  std::string out;
  out.reserve(text.size());
  Stretch stretch(form);
  std::size_t copied = 0, last = 0, at = 0;  // `last`: where the last character that stays begins
  while (at < text.size()) {
    std::size_t begin = at;
    char32_t c = next_code_point(text, at);
    if (is_young(c) || stays(c, form)) {
      last = is_young(c) ? at : begin;  // nothing joins a young character
      continue;
    }
    while (at < text.size()) {  // until the next character that stays
      std::size_t next = at;
      char32_t following = next_code_point(text, next);
      if (is_young(following) || stays(following, form)) break;
      at = next;
    }
    out += text.substr(copied, last - copied);
    stretch.normalise(text.substr(last, at - last), out);
    copied = last = at;
  }
  out += text.substr(copied);
  return out;
}

namespace {

// Lower case of letters that the linked utf8proc may not know, up to Unicode 17, which the library uses for this.
char32_t young_lower_case(char32_t c) {
  struct Shift {
    char32_t first, last;
    int by;
  };
  constexpr Shift shifts[] = {{0x1c89, 0x1c89, 1},      {0xa7cb, 0xa7cb, 0x264 - 0xa7cb},
                              {0xa7cc, 0xa7cc, 1},      {0xa7ce, 0xa7ce, 1},
                              {0xa7d2, 0xa7d2, 1},      {0xa7d4, 0xa7d4, 1},
                              {0xa7da, 0xa7da, 1},      {0xa7dc, 0xa7dc, 0x19b - 0xa7dc},
                              {0x10d50, 0x10d65, 0x20}, {0x16ea0, 0x16eb8, 0x1b}};
  for (const Shift& s : shifts)
    if (c >= s.first && c <= s.last) return static_cast<char32_t>(static_cast<int>(c) + s.by);
  return c;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    char32_t c = next_code_point(text, at);
    auto lower = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
    append_utf8(out, lower == c && c >= 0x1c89 ? young_lower_case(c) : lower);
    if (c == 0x130) append_utf8(out, 0x307);  // the only letter whose lower case is two characters
  }
  return out;
}

}  // namespace moemill::text
