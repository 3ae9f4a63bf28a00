// NFC, NFD, NFKC, NFKD and lower case on utf8proc's tables. Most text is already normal, so only the stretches that
// may change are decomposed; marks are sorted by a stable sort, so that no text takes quadratic time.
#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "base/utf8.hpp"
#include "text/normalizer.hpp"

namespace moemill::text {
namespace {

bool composes(UnicodeForm form) { return form == UnicodeForm::Nfc || form == UnicodeForm::Nfkc; }
bool is_compatible(UnicodeForm form) { return form == UnicodeForm::Nfkc || form == UnicodeForm::Nfkd; }

// A character that stays as it is and that nothing before it can change: a stretch ends in front of it.
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
  std::size_t copied = 0, last = 0, at = 0;  // `last`: begin of the last character that stays
  while (at < text.size()) {
    std::size_t begin = at;
    if (stays(next_code_point(text, at), form)) {
      last = begin;
      continue;
    }
    while (at < text.size()) {  // up to the next character that stays
      std::size_t next = at;
      if (stays(next_code_point(text, next), form)) break;
      at = next;
    }
    out += text.substr(copied, last - copied);
    stretch.normalise(text.substr(last, at - last), out);
    copied = last = at;
  }
  out += text.substr(copied);
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    char32_t c = next_code_point(text, at);
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    if (c == 0x130) append_utf8(out, 0x307);  // the one letter whose lower case is two characters
  }
  return out;
}

}  // namespace moemill::text
