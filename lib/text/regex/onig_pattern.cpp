#include "text/regex/onig_pattern.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "base/text/utf8.hpp"
#include "text/regex/onig_sets.hpp"

namespace moemill::text {
namespace {

bool is_one_property(std::string_view contents) {  // "\p{Lu}"
  return contents.starts_with("\\p{") && contents.find('}') == contents.size() - 1;
}

// The set as the contents of a [class].
std::string class_contents(const CodePointSet& set) {
  std::string contents;
  for (const auto& [first, last] : set.ranges())
    contents += first == last
                    ? fmt::format("\\x{{{:x}}}", static_cast<unsigned>(first))
                    : fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<unsigned>(first), static_cast<unsigned>(last));
  return contents;
}

enum class Tables { Pcre, Ours };  // the Unicode tables that define \p{Name}: PCRE2's or this program's

class Translator {
 public:
  Translator(std::string_view pattern, Tables tables) : in_(pattern), tables_(tables) {}

  const CodePointSet& differing() const { return differing_; }  // valid after run()

  std::string run() {
    while (at_ < in_.size()) {
      char c = in_[at_];
      switch (c) {
        case '\\':
          atom();
          escape(Where::Outside);
          break;
        case '[':
          atom();
          char_class();
          break;
        case '(': group(); break;
        case ')': close_group(); break;
        case '{': interval(); break;
        case '*':
        case '+':
        case '?':
        case '|':
        case '^':
        case '$': copy(1); break;
        default: atom(); copy(utf8_length(c));
      }
    }
    if (groups_.size() != 1) refuse("a group is not closed");
    out_.append(groups_.back().options, ')');
    return std::move(out_);
  }

 private:
  enum class Where { Outside, Inside };  // outside or inside a [class]
  struct Group {
    std::size_t begin = 0;    // offset in out_
    std::size_t options = 0;  // number of lone (?i) that were written as (?i: and are closed with the group
  };

  [[noreturn]] void refuse(std::string_view what) const {
    throw RegexError(fmt::format("{} (at byte {} of the pattern)", what, at_));
  }
  char peek(std::size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool next_is(std::string_view text) const { return in_.substr(at_, text.size()) == text; }
  void copy(std::size_t bytes) {
    out_ += in_.substr(at_, bytes);
    at_ += bytes;
  }
  void write(std::size_t consumed, std::string_view text) {
    out_ += text;
    at_ += consumed;
  }
  void atom() { atom_begin_ = out_.size(); }

  // Returns the contents of a class with each \p{Name} as the chosen tables define it.
  std::string expand_properties(std::string_view contents) {
    std::string all;
    for (std::size_t at = 0; at < contents.size();) {
      std::size_t begin = std::min(contents.find("\\p{", at), contents.size());
      all += contents.substr(at, begin - at);
      at = begin;
      if (at == contents.size()) break;
      const std::size_t end = contents.find('}', at);
      all += expand_property(contents.substr(at + 3, end - at - 3));
      at = end + 1;
    }
    return all;
  }
  std::string expand_property(std::string_view written_name) {
    const std::string unchanged = fmt::format("\\p{{{}}}", written_name);
    std::string name(written_name);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    const CodePointSet* ours = unicode_set(name);
    if (!ours || pcre_unicode_version() == unicode_version) return unchanged;
    const CodePointSet pcre = pcre_set(name);
    if (pcre.empty()) return class_contents(*ours);  // a script that PCRE2 does not know
    const CodePointSet added = ours->minus(pcre), removed = pcre.minus(*ours);
    differing_ = differing_.with(added).with(removed);
    if (tables_ == Tables::Pcre || (added.empty() && removed.empty())) return unchanged;
    return removed.empty() ? unchanged + class_contents(added) : class_contents(*ours);
  }

  // Writes the set of characters that is given as the contents of a [class].
  void write_set(std::size_t consumed, std::string_view class_text, Where where) {
    const std::string contents = expand_properties(class_text);
    bool bare = where == Where::Inside || is_one_property(contents);
    write(consumed, bare ? contents : fmt::format("[{}]", contents));
  }
  // Writes all characters outside the set. PCRE2 cannot negate part of a class, so inside a class the complement
  // becomes an alternative to it.
  void write_complement(std::size_t consumed, std::string_view class_text, Where where) {
    const std::string contents = expand_properties(class_text);
    if (is_one_property(contents)) return write(consumed, "\\P" + contents.substr(2));
    at_ += consumed;
    (where == Where::Inside ? class_.alternatives.emplace_back() : out_) += fmt::format("[^{}]", contents);
  }

  void escape(Where where) {
    if (at_ + 1 >= in_.size()) refuse("a lone \\ at the end");
    char c = in_[at_ + 1];
    bool inside = where == Where::Inside;
    switch (c) {
      case 's': return write_set(2, space_set, where);
      case 'S': return write_complement(2, space_set, where);
      case 'h': return write_set(2, hex_set, where);
      case 'H': return write_complement(2, hex_set, where);
      case 'd': return write_set(2, R"(\p{Nd})", where);
      case 'D': return write_complement(2, R"(\p{Nd})", where);
      case 'w': return write_set(2, word_set, where);
      case 'W': return write_complement(2, word_set, where);
      case 'v': return write(2, R"(\x{b})");
      case 'p':
      case 'P': return property(where);
      case 'x': return hex_code(c, 2);
      case 'u': return hex_code(c, 4);
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e': return copy(2);
      case 'b':
        if (inside) return write(2, R"(\x{8})");
        return write(2, fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", expand_properties(word_set)));
      case 'B':
        if (inside) break;
        return write(2, fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", expand_properties(word_set)));
      case 'A':
      case 'z':
      case 'Z':
      case 'G':
      case 'N':
      case 'R':
      case 'K':
        if (inside) break;
        return copy(2);
      default: break;
    }
    if (std::isalnum(static_cast<unsigned char>(c))) refuse(fmt::format("\\{} is not supported", c));
    copy(1 + utf8_length(c));
  }

  // Reads \xHH, \x{H...} or \uHHHH.
  void hex_code(char kind, std::size_t most_digits) {
    std::size_t begin = at_ + 2, end = begin;
    bool braces = kind == 'x' && peek(2) == '{';
    if (braces) {
      begin++;
      end = in_.find('}', begin);
      if (end == in_.npos) refuse("\\x{ is not closed");
    } else {
      while (end < in_.size() && end < begin + most_digits && std::isxdigit(static_cast<unsigned char>(in_[end])))
        end++;
      if (end == begin || (kind == 'u' && end != begin + 4)) refuse(fmt::format("\\{} without its digits", kind));
    }
    std::string digits(in_.substr(begin, end - begin));
    if (!std::all_of(digits.begin(), digits.end(), [](unsigned char d) { return std::isxdigit(d); }) || digits.empty())
      refuse("\\x{...} must hold one hexadecimal number");
    if (kind == 'x' && !braces && digits.size() == 2 && digits[0] >= '8')
      refuse("\\xHH above 7F is a byte, not a character; that is not supported");
    write(end + (braces ? 1 : 0) - at_, fmt::format("\\x{{{}}}", digits));
  }

  void property(Where where) {
    if (peek(2) != '{') refuse("\\p needs {Name}");
    std::size_t end = in_.find('}', at_);
    if (end == in_.npos) refuse("\\p{ is not closed");
    bool negated = in_[at_ + 1] == 'P';
    std::string_view raw = in_.substr(at_ + 3, end - at_ - 3);
    if (raw.starts_with('^')) {
      negated = !negated;
      raw.remove_prefix(1);
    }
    auto contents = property_set(raw);
    if (!contents) refuse(fmt::format("the property name \"{}\" is not supported", raw));
    negated ? write_complement(end + 1 - at_, *contents, where) : write_set(end + 1 - at_, *contents, where);
  }

  // A [class] of a Ruby-like expression can contain classes and "&&" (both sides must match). Such a class is written
  // as plain classes within groups and look-aheads. In every form it matches one character.
  void char_class() {
    if (class_depth_ > 8) refuse("a [class] is nested too deeply");
    class_depth_++;
    std::string before = std::exchange(out_, {});
    ClassPart outer = std::exchange(class_, {});
    at_++;
    bool negated = peek(0) == '^';
    if (negated) at_++;
    std::string all;
    if (peek(0) == ']') write(1, "\\]");
    while (at_ < in_.size() && in_[at_] != ']') {
      if (next_is("[:")) {
        posix_class();
      } else if (in_[at_] == '[') {
        nested_class();
      } else if (next_is("&&")) {
        at_ += 2;
        all += fmt::format("(?={})", take_class_part());
      } else if (in_[at_] == '\\') {
        escape(Where::Inside);
      } else if (in_[at_] == '^') {
        write(1, "\\^");
      } else {
        copy(utf8_length(in_[at_]));
      }
    }
    if (at_ >= in_.size()) refuse("a [class] is not closed");
    at_++;
    bool plain = all.empty() && class_.alternatives.empty();
    if (plain) {
      if (out_.empty()) refuse("an empty [class]");
      all = fmt::format("[{}{}]", negated ? "^" : "", out_);
    } else {
      all += take_class_part();
      all = negated ? fmt::format("(?:(?!{})(?s:.))", all) : fmt::format("(?:{})", all);
    }
    class_depth_--;
    class_ = std::move(outer);
    out_ = std::move(before);
    (class_depth_ > 0 ? class_.alternatives.emplace_back() : out_) += all;
  }

  void nested_class() {
    if (out_.ends_with('-')) refuse("a range that ends in a [class]");
    char_class();
  }

  // Returns the pattern of the part of a class that ends here, at && or at the class's end, and begins the next part.
  std::string take_class_part() {
    std::string all = out_.empty() ? "" : fmt::format("[{}]", std::exchange(out_, {}));
    for (const std::string& alternative : std::exchange(class_.alternatives, {}))
      all += (all.empty() ? "" : "|") + alternative;
    if (all.empty()) refuse("&& with nothing beside it");
    return fmt::format("(?:{})", all);
  }

  void posix_class() {
    std::size_t end = in_.find(":]", at_ + 2);
    if (end == in_.npos) refuse("[: is not closed");
    std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
    bool negated = name.starts_with('^');
    auto contents = posix_set(negated ? name.substr(1) : name);
    if (!contents) refuse(fmt::format("[:{}:] is not supported", name));
    negated ? write_complement(end + 2 - at_, *contents, Where::Inside)
            : write_set(end + 2 - at_, *contents, Where::Inside);
  }

  void group() {
    if (groups_.size() > 200) refuse("groups are nested too deeply");
    if (next_is("(?#")) {
      std::size_t end = in_.find(')', at_);
      if (end == in_.npos) refuse("(?# is not closed");
      at_ = end + 1;
      return;
    }
    if (next_is("(*")) refuse("(* is not supported");
    std::size_t begin = out_.size();
    if (!next_is("(?")) {
      copy(1);
    } else if (next_is("(?:") || next_is("(?=") || next_is("(?!") || next_is("(?>")) {
      copy(3);
    } else if (next_is("(?<=") || next_is("(?<!")) {
      copy(4);
    } else {
      return options();
    }
    groups_.push_back({begin, 0});
  }

  // Reads (?im-x:...) or a lone (?im-x), which in Oniguruma applies until the end of the group, alternatives included.
  void options() {
    std::size_t end = in_.find_first_not_of("im-", at_ + 2);
    if (end == in_.npos || end == at_ + 2 || (in_[end] != ')' && in_[end] != ':'))
      refuse(fmt::format("the group \"{}\" is not supported", in_.substr(at_, 4)));
    std::string letters(in_.substr(at_ + 2, end - at_ - 2));
    std::replace(letters.begin(), letters.end(), 'm', 's');  // Ruby's m: the dot matches a line feed
    bool lone = in_[end] == ')';
    std::size_t begin = out_.size();
    write(end + 1 - at_, fmt::format("(?{}:", letters));
    if (lone)
      groups_.back().options++;
    else
      groups_.push_back({begin, 0});
  }

  void close_group() {
    if (groups_.size() == 1) refuse("a ) without its (");
    out_.append(groups_.back().options, ')');
    copy(1);
    atom_begin_ = groups_.back().begin;
    groups_.pop_back();
  }

  // Reads {n}, {n,}, {,n} or {n,m}; a { in any other form is a literal. A + after an interval, or a ? after {n},
  // repeats the interval in Oniguruma but changes its greediness in PCRE2, so such an interval is put into a group.
  void interval() {
    std::size_t end = in_.find_first_not_of("0123456789,", at_ + 1);
    std::string body(end == in_.npos ? "" : in_.substr(at_ + 1, end - at_ - 1));
    auto commas = std::count(body.begin(), body.end(), ',');
    if (end == in_.npos || in_[end] != '}' || commas > 1 || body.empty() || body == ",") {
      atom();
      return write(1, "\\{");
    }
    if (body.front() == ',') body.insert(0, "0");
    write(end + 1 - at_, fmt::format("{{{}}}", body));
    if (peek(0) == '+' || (peek(0) == '?' && commas == 0)) {
      out_.insert(atom_begin_, "(?:");
      out_ += ')';
    }
  }

  std::string_view in_;
  Tables tables_;
  CodePointSet differing_;
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_begin_ = 0;  // where the last atom begins in out_
  std::vector<Group> groups_{1};
  struct ClassPart {
    std::vector<std::string> alternatives;  // alternatives to the plain class in out_
  } class_;
  int class_depth_ = 0;
};

}  // namespace

PcrePattern pcre_pattern(std::string_view onig) {
  Translator plain(onig, Tables::Pcre);
  PcrePattern pattern{plain.run(), "", plain.differing()};
  if (!pattern.differing.empty()) pattern.exact = Translator(onig, Tables::Ours).run();
  return pattern;
}

}  // namespace moemill::text
