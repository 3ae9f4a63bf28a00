#include "text/onig_pattern.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>
#include <vector>

#include "base/utf8.hpp"

namespace moemill::text {
namespace {

// Contents of a PCRE2 class. Unicode White_Space is spelt out: PCRE2's own \s has U+180E too.
constexpr std::string_view space_set =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view no_space_set =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
constexpr std::string_view posix_word_set = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
// Oniguruma's \w takes its Latin-1 part from another table than its [[:word:]]: it has the superscripts and fractions.
constexpr std::string_view word_set = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
constexpr std::string_view hex_set = "0-9A-Fa-f";
constexpr std::string_view no_hex_set = R"(\x{0}-\x{2f}\x{3a}-\x{40}\x{47}-\x{60}\x{67}-\x{10ffff})";

using Name = std::pair<std::string_view, std::string_view>;

// Names that hold for [[:name:]] and \p{name} alike -> contents of a class.
constexpr std::array<Name, 11> posix_sets{{{"alpha", R"(\p{Alphabetic})"},
                                           {"alnum", R"(\p{Alphabetic}\p{Nd})"},
                                           {"digit", R"(\p{Nd})"},
                                           {"lower", R"(\p{Lowercase})"},
                                           {"upper", R"(\p{Uppercase})"},
                                           {"space", space_set},
                                           {"blank", R"(\p{Zs}\x{9})"},
                                           {"cntrl", R"(\p{Cc})"},
                                           {"xdigit", hex_set},
                                           {"word", word_set},
                                           {"ascii", R"(\x{0}-\x{7f})"}}};

constexpr std::array<Name, 39> categories{{
    {"letter", "L"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"casedletter", "L&"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"combiningmark", "M"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"punct", "P"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"privateuse", "Co"},
    {"unassigned", "Cn"},
}};

// Properties that PCRE2 and Oniguruma define alike and that are no scripts.
constexpr std::array<std::string_view, 14> binary_properties{"any",
                                                             "alphabetic",
                                                             "lowercase",
                                                             "uppercase",
                                                             "whitespace",
                                                             "emoji",
                                                             "ideographic",
                                                             "hexdigit",
                                                             "math",
                                                             "dash",
                                                             "emojimodifier",
                                                             "extendedpictographic",
                                                             "emojicomponent",
                                                             "emojipresentation"};

template <class Table>
std::string_view look_up(const Table& table, std::string_view name) {
  for (const Name& entry : table)
    if (entry.first == name) return entry.second;
  return {};
}

bool is_short_category(std::string_view name) {
  constexpr std::string_view all =
      " c cc cf cn co cs l lu ll lt lm lo m mn mc me n nd nl no p pc pd ps pe pi pf po "
      "s sm sc sk so z zs zl zp ";
  return all.find(fmt::format(" {} ", name)) != all.npos;
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

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
  enum class Where { Outside, Inside };  // of a [class]
  struct Group {
    std::size_t begin = 0;    // in out_
    std::size_t options = 0;  // lone (?i) written as (?i: and to be closed with the group
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

  void set(std::size_t consumed, std::string_view contents, Where where) {
    write(consumed, where == Where::Inside ? std::string(contents) : fmt::format("[{}]", contents));
  }

  void escape(Where where) {
    if (at_ + 1 >= in_.size()) refuse("a lone \\ at the end");
    char c = in_[at_ + 1];
    bool inside = where == Where::Inside;
    switch (c) {
      case 's': return set(2, space_set, where);
      case 'S': return set(2, no_space_set, where);
      case 'h': return set(2, hex_set, where);
      case 'H': return set(2, no_hex_set, where);
      case 'd': return write(2, R"(\p{Nd})");
      case 'D': return write(2, R"(\P{Nd})");
      case 'w': return set(2, word_set, where);
      case 'W':
        if (inside) refuse("\\W inside a [class] is not supported");
        return write(2, fmt::format("[^{}]", word_set));
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
        return write(2, fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", word_set));
      case 'B':
        if (inside) break;
        return write(2, fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", word_set));
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

  // \xHH, \x{H...}, \uHHHH
  void hex_code(char kind, std::size_t most) {
    std::size_t begin = at_ + 2, end = begin;
    bool braces = kind == 'x' && peek(2) == '{';
    if (braces) {
      begin++;
      end = in_.find('}', begin);
      if (end == in_.npos) refuse("\\x{ is not closed");
    } else {
      while (end < in_.size() && end < begin + most && std::isxdigit(static_cast<unsigned char>(in_[end]))) end++;
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
    named_set(end + 1 - at_, raw, negated, where);
  }

  void named_set(std::size_t consumed, std::string_view raw, bool negated, Where where) {
    std::string name;
    for (char c : raw) {
      if (c == ' ' || c == '_' || c == '-') continue;
      if (!std::isalnum(static_cast<unsigned char>(c)))
        refuse(fmt::format("the property name \"{}\" is not supported", raw));
      name.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
    char p = negated ? 'P' : 'p';
    if (std::string_view category = look_up(categories, name); !category.empty())
      return write(consumed, fmt::format("\\{}{{{}}}", p, category));
    if (is_short_category(name) ||
        std::find(binary_properties.begin(), binary_properties.end(), name) != binary_properties.end())
      return write(consumed, fmt::format("\\{}{{{}}}", p, name));
    if (std::string_view contents = look_up(posix_sets, name); !contents.empty()) {
      if (!negated) return set(consumed, contents, where);
      if (where == Where::Inside)
        refuse(fmt::format("the negated property \"{}\" inside a [class] is not supported", raw));
      return write(consumed, fmt::format("[^{}]", contents));
    }
    write(consumed, fmt::format("\\{}{{sc:{}}}", p, name));  // a script; PCRE2 refuses what it does not know
  }

  void char_class() {
    copy(1);
    if (peek(0) == '^') copy(1);
    if (peek(0) == ']') write(1, "\\]");
    while (at_ < in_.size() && in_[at_] != ']') {
      if (next_is("[:")) {
        posix_class();
      } else if (in_[at_] == '[') {
        refuse("a [class] inside a [class] is not supported");
      } else if (next_is("&&")) {
        refuse("&& inside a [class] is not supported");
      } else if (in_[at_] == '\\') {
        escape(Where::Inside);
      } else {
        copy(utf8_length(in_[at_]));
      }
    }
    if (at_ >= in_.size()) refuse("a [class] is not closed");
    copy(1);
  }

  void posix_class() {
    std::size_t end = in_.find(":]", at_ + 2);
    if (end == in_.npos) refuse("[: is not closed");
    std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
    if (name == "punct") return write(end + 2 - at_, R"(\p{P}\p{S})");
    if (name == "word") return write(end + 2 - at_, posix_word_set);
    if (look_up(posix_sets, name).empty()) refuse(fmt::format("[:{}:] is not supported", name));
    named_set(end + 2 - at_, name, false, Where::Inside);
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

  // (?im-x:...) or a lone (?im-x), which in Oniguruma holds to the end of the group, further alternatives included.
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

  // {n}, {n,}, {,n}, {n,m}; any other { is itself. A + or (after {n}) ? behind applies to the repeated whole.
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
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_begin_ = 0;  // of the last atom in out_
  std::vector<Group> groups_{1};
};

}  // namespace

std::string pcre_pattern(std::string_view onig) { return Translator(onig).run(); }

}  // namespace moemill::text
